"""With the OpenAI SDK's clients: what the network, the log and the environment's keys get to see."""

from __future__ import annotations

import base64
import json
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

import nomyo.openai
from nomyo._install_command import install_command
from nomyo.serve.router.running import RunningRouter
from support.faults import Answer, FaultyRouter
from support.our_frames import our_frames
from support.process import output_of, run_python
from support.sdk import Sdk
from support.tap import Tap

PROMPT = "canary-prompt-b41e"
KEY = "canary-key-77d0"
MESSAGES: list[Any] = [{"role": "user", "content": PROMPT}]
LOGGED = ("openai", "httpx", "httpx2", "httpcore", "httpcore2", "aiohttp", "nomyo")


@pytest.fixture
def every_log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Everything that anybody logs at DEBUG."""
    for name in ("", *LOGGED):
        caplog.set_level(logging.DEBUG, name or None)
    yield caplog
    for name in LOGGED:
        logging.getLogger(name).setLevel(logging.NOTSET)


def test_network_sees_nothing_of_the_conversation(sdk: Sdk, router: RunningRouter, key_directory: Path) -> None:
    with Tap(router.url) as tap:
        client = sdk.client(tap.url, key_dir=key_directory, api_key=KEY)
        answer = sdk.call(client.chat.completions.create, model="canary-model", messages=MESSAGES)
        sdk.chunks(client, model="canary-model", messages=MESSAGES)
        sdk.call(client.close)

    assert answer.choices[0].message.content == PROMPT
    assert KEY.encode() in tap.seen  # the tap sees what is there to be seen
    assert tap.seen.count(b'"encrypted_payload"') == 4
    for word in (PROMPT, "canary-model", "assistant"):
        for form in (word.encode(), base64.b64encode(word.encode())[:-4], json.dumps(word).encode()):
            assert form not in tap.seen


def test_no_log_line_shows_the_conversation(
    sdk: Sdk, faulty_router: FaultyRouter, key_directory: Path, every_log: pytest.LogCaptureFixture
) -> None:
    client = sdk.client(faulty_router.url, key_dir=key_directory, api_key=KEY, max_retries=1, debug=True)

    sdk.call(client.chat.completions.create, model="m", messages=MESSAGES)
    sdk.chunks(client, model="m", messages=MESSAGES)
    faulty_router.answers.append(Answer(500, b""))
    with pytest.raises(openai.NotFoundError):
        sdk.call(client.embeddings.create, model="m", input=PROMPT)
    sdk.call(client.chat.completions.create, model="m", messages=MESSAGES)

    assert "package:" in every_log.text  # something is logged
    assert PROMPT not in every_log.text
    assert KEY not in every_log.text


def _locals_of_our_frames(error: BaseException) -> str:
    frames = our_frames(error.__traceback__)
    return "\n".join(f"{name} = {value!r}" for frame in frames for name, value in frame.f_locals.items())


def _assert_discreet(error: BaseException) -> None:
    shown = f"{_locals_of_our_frames(error)} {error} {error!r}"
    assert PROMPT not in shown
    assert KEY not in shown


def test_error_of_a_request_shows_nothing_in_our_frames(
    sdk: Sdk, faulty_router: FaultyRouter, key_directory: Path
) -> None:
    faulty_router.change = lambda body: body[:-40]
    client = sdk.client(faulty_router.url, key_dir=key_directory, api_key=KEY)

    with pytest.raises(nomyo.SecurityError) as raised:
        sdk.call(client.chat.completions.create, model="m", messages=MESSAGES)

    _assert_discreet(raised.value)


def test_error_of_an_option_shows_nothing_in_our_frames(sdk: Sdk) -> None:
    with pytest.raises(ValueError, match="max_connections") as raised:
        sdk.client("https://127.0.0.1:9", api_key=KEY, max_connections=0)

    _assert_discreet(raised.value)


def test_debug_log_of_the_sdk_stays_silent(router: RunningRouter) -> None:
    program = """
import sys
import nomyo.openai
with nomyo.openai.OpenAI(api_key="canary-key-77d0", base_url=sys.argv[1], allow_http=True, key_dir=None) as client:
    client.chat.completions.create(model="m", messages=[{"role": "user", "content": "canary-prompt-b41e"}])
"""
    finished = run_python(
        "import warnings; warnings.simplefilter('ignore')\n" + program,
        router.url,
        env={**os.environ, "OPENAI_LOG": "debug"},
    )

    assert finished.returncode == 0, finished.stderr
    assert PROMPT not in finished.stderr
    assert KEY not in finished.stderr


class TestEnvironment:
    """What is meant for OpenAI's service stays away from the router."""

    @pytest.fixture(autouse=True)
    def _openais_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
        monkeypatch.setenv("OPENAI_ADMIN_KEY", "sk-canary-admin")
        monkeypatch.setenv("OPENAI_ORG_ID", "org-canary")
        monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-canary")
        monkeypatch.setenv("OPENAI_BASE_URL", "https://canary.invalid/v1")
        monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "Authorization: Bearer sk-canary-custom\nX-Security-Tier: maximum")

    def test_nomyos_variables_are_the_ones_that_count(
        self, sdk: Sdk, faulty_router: FaultyRouter, key_directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("NOMYO_API_KEY", "the-routers-key")
        monkeypatch.setenv("NOMYO_BASE_URL", faulty_router.url)
        client = sdk.client_class(allow_http=True, key_dir=key_directory)

        for each in (client, client.with_options(timeout=9)):
            sdk.call(each.chat.completions.create, model="m", messages=MESSAGES)
        sdk.call(client.close)

        assert [post.headers["authorization"] for post in faulty_router.posts] == ["Bearer the-routers-key"] * 2
        assert "canary" not in str([request.headers for request in faulty_router.received])
        assert "x-security-tier" not in faulty_router.posts[0].headers

    def test_missing_key_is_said_at_once(self, sdk: Sdk) -> None:
        with pytest.raises(openai.OpenAIError, match="OPENAI_API_KEY is not read") as raised:
            sdk.client_class()

        assert "canary" not in str(raised.value)

    def test_request_without_a_key_has_none(self, sdk: Sdk, faulty_router: FaultyRouter, key_directory: Path) -> None:
        client = sdk.client(faulty_router.url, key_dir=key_directory, api_key="")

        sdk.call(client.chat.completions.create, model="m", messages=MESSAGES)

        assert "authorization" not in faulty_router.posts[0].headers

    def test_default_router_is_nomyos(self, sdk: Sdk) -> None:
        client = sdk.client_class(api_key="a-key", key_dir=None)

        assert str(client.base_url).rstrip("/") == "https://api.nomyo.ai"
        sdk.call(client.close)


def test_plain_http_is_warned_of_where_the_client_is_made(sdk: Sdk) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        client = sdk.client_class(api_key="a-key", base_url="http://127.0.0.1:9", allow_http=True, key_dir=None)
    sdk.call(client.close)

    assert [(Path(warning.filename).name, "plain HTTP" in str(warning.message)) for warning in caught] == [
        (Path(__file__).name, True)
    ]


def test_api_key_that_cannot_be_a_header_is_refused_without_being_shown(sdk: Sdk) -> None:
    with pytest.raises(nomyo.SecurityError) as raised:
        sdk.client("https://127.0.0.1:9", api_key="canary-key\u00e9\n")

    assert "canary" not in str(raised.value)


def test_missing_extra_is_said() -> None:
    program = (
        "import sys; sys.modules['openai'] = None\n"
        "try:\n    import nomyo.openai\n"
        "except ModuleNotFoundError as error:\n    print(error, '|', error.name, error.__cause__)"
    )

    words = f"nomyo.openai needs the extra 'openai': {install_command('openai')} | openai None\n"
    assert output_of(program) == words


def test_error_within_the_sdk_is_not_called_a_missing_extra(tmp_path: Path) -> None:
    (tmp_path / "openai.py").write_text("import what_the_sdk_needs")
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "try:\n    import nomyo.openai\n"
        "except ModuleNotFoundError as error:\n    print(error.name)"
    )

    assert output_of(program, str(tmp_path)) == "what_the_sdk_needs\n"


def test_sdk_that_is_too_old_is_refused(tmp_path: Path) -> None:
    (tmp_path / "openai.py").write_text("class OpenAI: pass")
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "try:\n    import nomyo.openai\n"
        "except ImportError as error:\n    print(error)"
    )

    assert output_of(program, str(tmp_path)).startswith("nomyo.openai needs version 2.34 or later")
