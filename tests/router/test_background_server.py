"""A server in a thread of its own that ends by itself: nobody waits for it, and the log says so."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

import nomyo
from nomyo.serve.router import RouterConfig, RunningRouter
from support.waiting import until

SECRET = "what was asked"


def test_server_that_failed_is_waited_for_by_nobody(
    key_directory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_counter: int) -> bool:
        raise AssertionError(SECRET)

    with RunningRouter(RouterConfig(key_bits=2048)) as router:
        assert router.serves
        monkeypatch.setattr(router._server, "on_tick", fail)
        with caplog.at_level(logging.ERROR, "nomyo.server"):
            until(lambda: not router.serves)
        options: dict[str, Any] = {"key_dir": key_directory, "max_retries": 0}
        with (
            nomyo.SyncSecureChatCompletion(router.url, True, **options) as chat,
            pytest.raises(nomyo.APIConnectionError, match="refused"),
        ):
            chat.create(model="m", messages=[{"role": "user", "content": SECRET}])
    assert "unforeseen AssertionError" in caplog.text
    assert SECRET not in caplog.text
