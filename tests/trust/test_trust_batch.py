"""A router's key that changes in the middle of a batch: it stops, loses nothing, and goes on after `accept`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import nomyo.batch
from nomyo import BatchError
from nomyo.trust.known_routers import KnownRouters
from nomyo.trust.router_name import router_name
from support.batch_scene import EXPECTED, ROWS, PromptNotingRouter, outcomes, request, runner, write_input


@pytest.mark.parametrize("ttl_s", [0, 300.0])
def test_key_that_changes_stops_the_batch_which_goes_on_after_accept(
    tmp_path: Path, key_directory: Path, ttl_s: float
) -> None:
    source = write_input(tmp_path / "in.jsonl", map(request, range(ROWS)))
    output, known = tmp_path / "out.jsonl", tmp_path / "known_routers"
    with PromptNotingRouter() as noting:
        complete = noting._running.router._model.complete

        async def rotate_in_the_middle(body: Mapping[str, Any]) -> dict[str, Any]:
            if len(noting.prompts) == ROWS // 2 and not rotated:
                rotated.append(True)
                noting._running.rotate()
                noting._running.router.keys._retire(0)  # no grace: the next package is refused
            return await complete(body)

        rotated: list[bool] = []
        noting._running.router._model.complete = rotate_in_the_middle  # type: ignore[method-assign,assignment]
        options: dict[str, Any] = {"known_routers": known, "server_key_ttl": ttl_s}
        run = runner(source, output, noting.url, key_directory, concurrency=4, **options)

        with pytest.raises(BatchError, match=r"by which it is known since .*the same command goes on with it"):
            run()

        assert rotated
        done = outcomes(output)
        assert len(done) < ROWS
        assert [code for _, _, code in done if code is not None] == []
        with pytest.raises(nomyo.SecurityError, match="by which it is known since"):  # before it begins
            run()

        KnownRouters(known).accept(router_name(noting.url), None)
        summary = run()

        assert summary.failed == 0
        assert outcomes(output) == EXPECTED
        assert set(noting.prompts) == {prompt for _, prompt, _ in EXPECTED}


def test_pin_that_matches_no_more_stops_the_batch_too(tmp_path: Path, key_directory: Path) -> None:
    source = write_input(tmp_path / "in.jsonl", map(request, range(ROWS)))
    with PromptNotingRouter() as noting:
        complete = noting._running.router._model.complete

        async def rotate_in_the_middle(body: Mapping[str, Any]) -> dict[str, Any]:
            if len(noting.prompts) == ROWS // 2:
                noting._running.rotate()
                noting._running.router.keys._retire(0)
            return await complete(body)

        pin = noting._running.fingerprint
        noting._running.router._model.complete = rotate_in_the_middle  # type: ignore[method-assign,assignment]
        output = tmp_path / "out.jsonl"
        run = runner(source, output, noting.url, key_directory, concurrency=4, server_key_fingerprint=pin)

        with pytest.raises(BatchError, match="matches none of the pinned fingerprints"):
            run()

    assert [code for _, _, code in outcomes(output) if code is not None] == []
