"""What a server quotes of a request's credentials comes into no error, however it spells them."""

from __future__ import annotations

import copy
import html
import json
import pickle
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

import nomyo
from support.batch_scene import batch, request, write_input
from support.faults import PUBLIC_KEY, Answer, FaultyRouter
from support.outputs import nomyo as nomyo_command
from support.proxied import API_KEY, chat, proxy_process
from support.raw_server import framed, raw_server
from support.twins import Twin

MESSAGES = [{"role": "user", "content": "Hello"}]
KEY = 'sk-"canary"/<&>\\key%41'
BEFORE, AFTER = "what came: ", " - it was that"
SHOWN = f"{BEFORE}[API key]{AFTER}"


def _json(text: str) -> str:
    return json.dumps(text)[1:-1]


def _each(form: str) -> Callable[[str], str]:
    return lambda text: "".join(form.format(ord(character)) for character in text)


# How servers, and what stands before them, write a text.
SPELLINGS: dict[str, Callable[[str], str]] = {
    "itself": str,
    "JSON": _json,
    "JSON with slashes escaped": lambda text: _json(text).replace("/", "\\/"),
    "JSON with <, > and & escaped": lambda text: (
        _json(text).replace("<", "\\u003c").replace(">", "\\u003E").replace("&", "\\u0026")
    ),
    "JSON with all escaped": _each("\\u{:04x}"),
    "JSON in JSON": lambda text: _json(_json(text)),
    "JSON in JSON in JSON, with slashes escaped": lambda text: _json(_json(_json(text))).replace("/", "\\/"),
    "two hexadecimal digits": _each("\\x{:02X}"),
    "three octal digits": _each("\\{:03o}"),
    "braces": _each("\\u{{{:x}}}"),
    "eight digits": _each("\\U{:08x}"),
    "percent": lambda text: quote(text, safe=""),
    "percent twice": lambda text: quote(quote(text, safe=""), safe=""),
    "percent of all": _each("%{:02x}"),
    "percent and u": _each("%u{:04X}"),
    "HTML": html.escape,
    "HTML in HTML": lambda text: html.escape(html.escape(text)),
    "decimal references": _each("&#{};"),
    "padded references": _each("&#0000{};"),
    "hexadecimal references without an end": _each("&#x{:X}"),
    "names of HTML": lambda text: html.escape(text).replace("/", "&sol;").replace("%", "&percnt;"),
    "HTML in JSON": lambda text: _json(html.escape(text)),
    "JSON in HTML": lambda text: html.escape(_json(text)),
    "percent in JSON in HTML": lambda text: html.escape(_json(quote(text, safe="/&"))),
    "half of it escaped": lambda text: text[:9] + _each("\\u{:04x}")(text[9:]),
    "zero bytes between": "\0".join,
    "soft hyphens between": "\u00ad".join,
    "wrapped lines": lambda text: "\r\n ".join([text[:7], text[7:14], text[14:]]),
}


def _error_of(twin: Twin, faulty_router: FaultyRouter, keys: Path, answer: Answer, **options: Any) -> nomyo.APIError:
    faulty_router.answers.append(answer)
    client = twin.chat(faulty_router.url, key_dir=keys, **{"api_key": KEY, "max_retries": 0, **options})
    with pytest.raises(nomyo.APIError) as raised:
        twin.call(client.create, model="m", messages=MESSAGES)
    return raised.value


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize(
    "form",
    [
        pytest.param("{}", id="text"),
        pytest.param('{{"detail": "{}', id="JSON that was cut"),
        pytest.param('{{"detail": "{}"}}, and more', id="JSON with more behind it"),
        pytest.param("[" * 60_000 + '"{}"', id="JSON too deep for Python"),
    ],
)
def test_key_in_what_is_no_json_is_hidden_however_it_is_spelt(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, spelling: str, form: str
) -> None:
    body = form.format(f"{BEFORE}{SPELLINGS[spelling](KEY)}{AFTER}").encode()

    error = _error_of(twin, faulty_router, key_directory, Answer(403, body))

    expected = form.format(SHOWN)
    assert error.error_details == expected[:4096]
    assert str(error) == (
        expected if len(expected) <= 500 else "HTTP 403: the model is not allowed for the requested security tier"
    )
    assert "canary" not in repr(error)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_key_is_hidden_in_names_and_values_of_json_at_any_depth(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, spelling: str
) -> None:
    said = f"{BEFORE}{SPELLINGS[spelling](KEY)}{AFTER}"
    deep: Any = said
    for _ in range(40):
        deep = [{"in": deep}]
    body = json.dumps({"error": {"message": said, "type": said}, said: [said, {said: 1}], "deep": deep})

    error = _error_of(twin, faulty_router, key_directory, Answer(403, body.encode()))

    assert str(error) == SHOWN
    found = error.error_details
    assert {**found, "deep": 0} == {"error": {"message": SHOWN, "type": SHOWN}, SHOWN: [SHOWN, {SHOWN: 1}], "deep": 0}
    assert json.dumps(found["deep"]).count(SHOWN) == 1
    assert "canary" not in json.dumps(found)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
@pytest.mark.parametrize("damage", [b"", b"\xff"], ids=["whole", "damaged"])
@pytest.mark.parametrize("form", ["{}", '{{"detail": "{}"}}', '{{"detail": "{}'])
def test_key_is_hidden_in_bodies_of_any_encoding(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, encoding: str, damage: bytes, form: str
) -> None:
    body = form.format(BEFORE + _json(KEY) + AFTER).encode(encoding) + damage

    error = _error_of(twin, faulty_router, key_directory, Answer(403, body))

    assert "[API key]" in str(error)
    assert not any("canary" in "".join(filter(str.isalnum, each)) for each in (str(error), repr(error.error_details)))


@pytest.mark.parametrize(
    "page",
    [
        "<p>{}",
        "<!DOCTYPE html><html><head><title>{}</title></head><body><h1>Bad</h1>{}</body></html>",
        "<p title='{}'>Bad: {}</p>",
        "<!-- {} --><p>Bad",
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_key_is_hidden_in_pages(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, page: str, as_json: bool
) -> None:
    for spelled in (html.escape(KEY), _each("&#{};")(KEY), html.escape(KEY).replace("can", "<b>can</b>")):
        body = page.replace("{}", spelled)
        answer = Answer(403, json.dumps(body).encode() if as_json else body.encode())

        error = _error_of(twin, faulty_router, key_directory, answer)

        assert "canary" not in str(error)
        assert "canary" not in html.unescape(error.error_details)


@pytest.mark.parametrize("missing", range(1, len(KEY)))
def test_key_is_hidden_before_anything_is_cut(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, missing: int
) -> None:
    for limit in (500, 4096):
        before = "z" * (limit - missing)

        error = _error_of(twin, faulty_router, key_directory, Answer(403, (before + KEY).encode()))

        assert error.error_details.startswith(before)
        assert "[API key]".startswith(error.error_details.removeprefix(before))
        assert set(str(error)) <= set("z[API key]")


def test_key_of_figures_is_hidden_among_numbers(twin: Twin, faulty_router: FaultyRouter, key_directory: Path) -> None:
    body = b'{"detail": "no", "code": 8112358, "ratio": 81123580.5, "id": 4711, "n": [8112358132134, true]}'

    error = _error_of(
        twin, faulty_router, key_directory, Answer(403, body, {"retry-after": "81123581"}), api_key="81123581"
    )

    assert error.error_details == {
        "detail": "no",
        "code": 8112358,
        "ratio": 81123580.5,
        "id": 4711,
        "n": ["[API key]32134", True],
    }
    assert error.retry_after is None


def test_key_of_one_request_and_key_of_the_client_are_hidden(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path
) -> None:
    faulty_router.answers.append(Answer(403, json.dumps({"detail": f"{KEY}, not another-key-4b1d"}).encode()))
    client = twin.chat(faulty_router.url, key_dir=key_directory, api_key="another-key-4b1d")

    with pytest.raises(nomyo.ForbiddenError) as raised:
        twin.call(client.create, model="m", messages=MESSAGES, api_key=KEY)

    assert str(raised.value) == "[API key], not [API key]"


@pytest.mark.parametrize("status", [403, 404])
def test_key_is_hidden_in_what_is_said_instead_of_a_public_key(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, status: int
) -> None:
    faulty_router.path = PUBLIC_KEY

    error = _error_of(twin, faulty_router, key_directory, Answer(status, f"not for {_each('%{:02x}')(KEY)}".encode()))

    assert "not for [API key]" in str(error)
    assert error.error_details == "not for [API key]"


def test_credentials_of_a_proxy_are_hidden(twin: Twin, monkeypatch: pytest.MonkeyPatch) -> None:
    password = 'pass-"canary"/word'
    token = b64encode(f"somebody:{password}".encode()).decode()
    said = json.dumps({"detail": f"got Basic {token}, which is somebody:{password}, or {quote(password)}", token: 1})
    with raw_server(lambda _: framed(said.encode(), 418)) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.replace("//", f"//somebody:{quote(password, safe='')}@"))
        client = twin.chat("http://router.invalid", api_key=KEY, max_retries=0)

        with pytest.raises(nomyo.APIError) as raised:
            twin.call(client.create, model="m", messages=MESSAGES)

    hidden = "got Basic [credentials], which is [credentials], or [credentials]"
    assert f"HTTP 418 instead of a public key ({hidden})" in str(raised.value)
    assert password not in str(raised.value)
    assert raised.value.error_details == {"detail": hidden, "[credentials]": 1}


@pytest.mark.parametrize("raises", [False, True], ids=["", "by an event hook that raises"])
def test_credentials_of_the_callers_own_client_are_hidden(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, raises: bool
) -> None:
    sent = {
        "X-Gateway-Token": "canary-gateway-1",
        "Cookie": "session=canary-cookie-22; theme=dark",
        "X-Api-Key": "canary/api/key/3",
    }
    names = ("Authorization: Basic b3duZXI6Y2FuYXJ5LXBhc3N3b3Jk", "owner:canary-password", *sent.values())
    body = json.dumps({"detail": " | ".join(names).replace("/", "\\/")}).encode()

    def hook(response: httpx.Response) -> None:
        response.read()
        response.raise_for_status()

    async def async_hook(response: httpx.Response) -> None:
        await response.aread()
        response.raise_for_status()

    kind: Any = {"sync": httpx.Client, "async": httpx.AsyncClient}[twin.name]
    hooks = {"response": [{"sync": hook, "async": async_hook}[twin.name]]} if raises else {}
    given = kind(headers=sent, auth=("owner", "canary-password"), trust_env=False, event_hooks=hooks)

    error = _error_of(twin, faulty_router, key_directory, Answer(403, body), http_client=given)

    assert "canary" not in f"{error} {error.error_details}"
    assert "b3duZXI" not in f"{error} {error.error_details}"
    assert str(error).count("[credentials]") == 5
    assert "theme=dark" in str(error)
    twin.call(given.close if twin.name == "sync" else given.aclose)


def _quoting(key: str) -> bytes:
    """Return what no parser of JSON takes, with a key in escapes."""
    return ('{"error": {"message": "not for ' + _each("\\u{:04x}")(key) + '", "code": "no"}').encode()


def _said_in(text: str) -> str:
    """Return a text with all escapes of JSON undone."""
    while (said := text.replace("\\\\", "\\")) != text:
        text = said
    return text.encode("latin-1", "backslashreplace").decode("unicode_escape")


def test_answer_of_nomyo_proxy_and_its_log_hide_the_key(faulty_router: FaultyRouter, key_directory: Path) -> None:
    faulty_router.always(Answer(403, _quoting(API_KEY), {"retry-after": API_KEY}))

    with proxy_process(faulty_router.url, key_directory) as proxy:
        answer = proxy.post(chat())
        proxy.stop()

    assert answer.status_code == 403
    assert "[API key]" in answer.json()["error"]["message"]
    assert API_KEY not in _said_in(answer.text + str(answer.headers) + proxy.stderr)


def test_output_of_a_batch_hides_the_key(faulty_router: FaultyRouter, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    faulty_router.always(Answer(422, _quoting(API_KEY), {"retry-after": API_KEY}))

    ended = batch(write_input(tmp_path / "in.jsonl", [request(1)]), output, faulty_router.url, NOMYO_API_KEY=API_KEY)

    assert "[API key]" in output.read_text()
    assert API_KEY not in _said_in(output.read_text() + ended.stdout + ended.stderr)


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_words_of_nomyo_chat_hide_the_key(
    faulty_router: FaultyRouter, key_directory: Path, options: tuple[str, ...]
) -> None:
    faulty_router.always(Answer(403, _quoting(API_KEY), {"retry-after": API_KEY}))
    to_router = ["--base-url", faulty_router.url, "--allow-http", "--key-dir", str(key_directory)]

    ended = nomyo_command(["chat", "--model", "m", *to_router, *options, "hello"], env={"NOMYO_API_KEY": API_KEY})

    assert b"[API key]" in ended.stderr
    assert API_KEY not in _said_in((ended.stdout + ended.stderr).decode())


def test_debug_log_hides_the_key(faulty_router: FaultyRouter, key_directory: Path) -> None:
    faulty_router.always(Answer(429, _quoting(API_KEY), {"retry-after": API_KEY}))
    program = f"""
import nomyo
client = nomyo.SyncSecureChatCompletion({faulty_router.url!r}, allow_http=True, key_dir={str(key_directory)!r},
    api_key={API_KEY!r}, debug=True, max_retries=1)
client.create(model="m", messages=[])
"""

    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)

    assert "RateLimitError" in ended.stderr
    assert "[API key]" in ended.stderr
    assert API_KEY not in _said_in(ended.stderr.rpartition("nomyo.errors.")[2])
    assert API_KEY not in _said_in(ended.stderr.partition("Traceback")[0])


@pytest.mark.parametrize(
    "page",
    [
        pytest.param("<a " * 20_000, id="tags that do not end"),
        pytest.param("<a b='" * 10_000, id="quotes that do not end"),
        pytest.param("<!--" * 15_000, id="comments that do not end"),
        pytest.param("<p>" + "\\u005c" * 10_000, id="escapes"),
        pytest.param("<p>&" + "amp;" * 15_000, id="references"),
        pytest.param("<p>&#" + "1" * 60_000 + ";", id="a reference of 60,000 digits"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_hostile_page_is_an_error_at_once(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, page: str, as_json: bool
) -> None:
    began_s = time.monotonic()

    error = _error_of(twin, faulty_router, key_directory, Answer(403, (json.dumps(page) if as_json else page).encode()))

    assert type(error) is nomyo.ForbiddenError
    assert time.monotonic() - began_s < 10


def test_details_nested_deep_can_be_copied_and_printed(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path
) -> None:
    body = b'{"detail": "no", "more": ' + b'{"a":' * 900 + b"1" + b"}" * 901

    error = _error_of(twin, faulty_router, key_directory, Answer(403, body))

    assert str(error) == "no"
    for each in (copy.deepcopy(error), pickle.loads(pickle.dumps(error))):
        assert repr(each.error_details) == repr(error.error_details)
    assert "'...'" in repr(error.error_details)
