"""`nomyo demo`: a real encrypted chat with a router on this machine, shown from both sides of the wire."""

from __future__ import annotations

import asyncio
import base64
import re
import secrets
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import httpx
import typer
from rich.console import Console
from rich.text import Text

from nomyo import NomyoError, SecureChatCompletion, get_memory_protection_info
from nomyo._finite_json import ascii_json
from nomyo.cli.command_app import NO_COLOR_VARIABLE, command_app, manual, report_failure, run
from nomyo.serve.router import RouterConfig, RunningRouter

_MODEL: Final = "echo"
_MESSAGE: Final = "My blood type is AB negative: who on the way can read that?"
_SHORTEST_BYTES: Final = 8
"""Shorter messages stand in random bytes by chance: two bytes in most packages, eight in one of some 10^11."""
_COMPLETION_PATH: Final = "/v1/chat/secure_completion"
app = command_app()
_DEMO = manual(
    examples={
        "nomyo demo": "The whole of it:",
        "nomyo demo --message 'Grüß Gott' --json | jq .round_trip_ms": "For a program:",
    },
    exit_codes={
        0: "The reply came back decrypted, and the message was not found on the wire, or was too short to look for.",
        1: "Something was not as it must be.",
        2: "The command cannot be run as asked.",
    },
    environment=NO_COLOR_VARIABLE,
)


def main(arguments: Sequence[str]) -> int:
    """Run the command; leaves with SystemExit, as click does."""
    return run(app, arguments, "nomyo demo")


@app.command(cls=_DEMO)
def demo(
    message: Annotated[
        str, typer.Option(metavar="TEXT", help="What to send; the echo model sends it back.")
    ] = _MESSAGE,
    as_json: Annotated[bool, typer.Option("--json", help="Print the same as one JSON object.")] = False,
) -> None:
    """Start a router on this machine, have an encrypted chat with it, and show what went over the wire."""
    began_at = time.perf_counter()
    api_key = secrets.token_urlsafe(24)  # a real key is not used here, not even that of NOMYO_API_KEY
    try:
        with RunningRouter(RouterConfig(api_keys=frozenset({api_key}))) as router:
            started_s = time.perf_counter() - began_at
            chat = asyncio.run(_chat(router.url, api_key, message))
    except (NomyoError, OSError) as error:
        report_failure("nomyo demo", error, as_json=as_json)
        raise typer.Exit(1) from None
    failure = chat.failure()
    if as_json:
        typer.echo(ascii_json(_facts(chat, router, started_s) | {"failure": failure}))
    else:
        _print_chat(chat, router, started_s)
    if failure:
        raise typer.Exit(1)


def _print_chat(chat: _Chat, router: RunningRouter, started_s: float) -> None:
    console = Console(highlight=False, soft_wrap=True)
    console.print(Text("An encrypted chat with a router on this machine", style="bold"))
    for line in _story(chat, router, started_s):
        console.print(line)
    if failure := chat.failure():
        console.print(Text(f"\nFAILED: {failure}", style="bold red"))
        return
    console.print(Text("\nThe reply came back decrypted, and is what was sent.", style="bold green"))


def _facts(chat: _Chat, router: RunningRouter, started_s: float) -> dict[str, Any]:
    wire, second = chat.first.wire, chat.second
    return {
        "url": router.url,
        "fingerprint": router.fingerprint,
        "message": chat.message,
        "looked_for": _can_be_looked_for(chat.message),
        "reply": chat.first.reply,
        "request_bytes": len(wire.request),
        "response_bytes": len(wire.response),
        "method": get_memory_protection_info().method,
        "router_memory_protection": chat.first.metadata.get("memory_protection"),
        "router_started_ms": started_s * 1000,
        "first_request_ms": (chat.first.answered_at - chat.client_made_at) * 1000,
        "second_request_ms": (second.answered_at - second.asked_at) * 1000,
        "seal_ms": (second.wire.sent_at - second.asked_at) * 1000,
        "round_trip_ms": (second.wire.received_at - second.wire.sent_at) * 1000,
        "open_ms": (second.answered_at - second.wire.received_at) * 1000,
    }


@dataclass(frozen=True, slots=True)
class _Exchange:
    """One request as it went over the wire."""

    path: str
    request: bytes
    response: bytes
    sent_at: float
    received_at: float


@dataclass(frozen=True, slots=True)
class _Answer:
    reply: str
    metadata: dict[str, Any]
    wire: _Exchange
    asked_at: float
    answered_at: float


@dataclass(frozen=True, slots=True)
class _Chat:
    message: str
    client_made_at: float
    first: _Answer
    second: _Answer

    def failure(self) -> str | None:
        """What went wrong in the demo; None if all is well."""
        for answer in (self.first, self.second):
            if answer.reply != self.message or answer.metadata.get("is_encrypted") is not True:
                return "the reply is not what the echo model must say"
            if self.seen_in(answer.wire):
                return "the message can be read on the wire"
        return None

    def seen_in(self, wire: _Exchange) -> bool:
        """Whether the message can be read in a request or its answer; a message that is too short is not looked for."""
        found = (_visible(self.message, package) for package in (wire.request, wire.response))
        return _can_be_looked_for(self.message) and any(found)


class _Tap(httpx.AsyncBaseTransport):
    """A transport that records requests and answers, with their times."""

    def __init__(self) -> None:
        self._inner = httpx.AsyncHTTPTransport()
        self.exchanges: list[_Exchange] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        sent_at = time.perf_counter()
        response = await self._inner.handle_async_request(request)
        content = await response.aread()
        await response.aclose()
        self.exchanges.append(_Exchange(request.url.path, body, content, sent_at, time.perf_counter()))
        return httpx.Response(response.status_code, headers=response.headers, stream=httpx.ByteStream(content))

    async def aclose(self) -> None:
        await self._inner.aclose()


async def _chat(url: str, api_key: str, message: str) -> _Chat:
    tap = _Tap()
    made_at = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the warning of plain HTTP: the router is on this machine
        async with (
            httpx.AsyncClient(transport=tap, trust_env=False) as http,
            SecureChatCompletion(url, allow_http=True, api_key=api_key, key_dir=None, http_client=http) as client,
        ):
            first = await _ask(client, tap, message)
            second = await _ask(client, tap, message)
    return _Chat(message, made_at, first, second)


async def _ask(client: SecureChatCompletion, tap: _Tap, message: str) -> _Answer:
    asked_at = time.perf_counter()
    response = await client.create(model=_MODEL, messages=[{"role": "user", "content": message}])
    answered_at = time.perf_counter()
    wire = next(exchange for exchange in reversed(tap.exchanges) if exchange.path == _COMPLETION_PATH)
    reply = response["choices"][0]["message"]["content"]
    return _Answer(reply, response["_metadata"], wire, asked_at, answered_at)


def _story(chat: _Chat, router: RunningRouter, started_s: float) -> Iterator[Text]:
    yield _row("router", f"{router.url}, key {router.fingerprint}")
    yield _row("you", chat.message)
    yield _row("reply", chat.first.reply)
    yield Text("\nWhat went over the wire", style="bold")
    wire = chat.first.wire
    yield _row("request", f"{len(wire.request):,} bytes: {_beginning(wire.request)}")
    yield _row("response", f"{len(wire.response):,} bytes: {_beginning(wire.response)}")
    yield _row("in clear", _what_was_seen(chat))
    yield Text("\nProtections in force", style="bold")
    info = get_memory_protection_info()
    yield _row("here", f"{info.method}" + (f", {info.details}" if info.details else ""))
    yield _row("router", _protection_of(chat.first.metadata) + " (it shares this process)")
    yield Text("\nTime", style="bold")
    yield from _times(chat, started_s)


def _times(chat: _Chat, started_s: float) -> Iterator[Text]:
    made_at, first, second = chat.client_made_at, chat.first, chat.second
    yield _time("start the router: its RSA-4096 key is drawn", started_s)
    yield _time("first package sent: our RSA-4096 key drawn, the router's got", first.wire.sent_at - made_at)
    yield _time("first request, that included", first.answered_at - made_at)
    yield _time("second request, keys known", second.answered_at - second.asked_at)
    yield _time("  seal and send off", second.wire.sent_at - second.asked_at)
    yield _time("  round trip: the router opens, answers, seals", second.wire.received_at - second.wire.sent_at)
    yield _time("  open", second.answered_at - second.wire.received_at)


def _protection_of(metadata: dict[str, Any]) -> str:
    names = {
        "memory_locking": "memory locked",
        "secure_zeroing": "wiped after use",
        "core_dump_prevention": "core dumps off",
    }
    told = metadata.get("memory_protection")
    measured = told if isinstance(told, dict) else {}
    return ", ".join(f"{words}: {'yes' if measured.get(name) else 'no'}" for name, words in names.items())


def _what_was_seen(chat: _Chat) -> str:
    if not _can_be_looked_for(chat.message):
        return f"not looked for: fewer than {_SHORTEST_BYTES} bytes may stand in ciphertext by chance"
    if chat.seen_in(chat.first.wire):
        return "THE MESSAGE IS IN THERE"
    return "the message was looked for in both, and is in neither"


def _can_be_looked_for(message: str) -> bool:
    return len(message.encode("utf-8", "replace")) >= _SHORTEST_BYTES


def _visible(message: str, package: bytes) -> bool:
    """Look for a message in a package as it is, as JSON writes it, and in everything that is base64 in it."""
    forms = [message.encode("utf-8", "replace"), ascii_json(message)[1:-1].encode("ascii")]
    encoded = re.findall(rb"[A-Za-z0-9+/]{16,}", package)
    places = [package, *(base64.b64decode(text + b"=" * (-len(text) % 4)) for text in encoded if len(text) % 4 != 1)]
    return any(form in place for form in forms if form for place in places)


def _beginning(package: bytes) -> str:
    return package[:96].decode("ascii", "replace") + "..."


def _row(name: str, value: str) -> Text:
    return Text.assemble((f"  {name:10}", "cyan"), value)


def _time(name: str, seconds: float) -> Text:
    return Text.assemble((f"  {seconds * 1000:8.1f} ms  ", "cyan"), name)
