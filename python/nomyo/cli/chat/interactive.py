"""A conversation in the terminal. Nothing of it is written anywhere but to the screen.

prompt_toolkit's history is that in memory, its way to an external editor (which needs a file) is off.

Ctrl-C comes as a signal, or as a key while the prompt reads key by key. The signal has one handler from the first
prompt to the last, which has the event loop act between two steps of ours. prompt_toolkit's own and asyncio's come and
go with each prompt: a signal that found the wrong one ended the conversation.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from prompt_toolkit import PromptSession
from prompt_toolkit.application.current import get_app_or_none
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.filters import completion_is_selected
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.input.typeahead import get_typeahead, store_typeahead
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys

from nomyo import _core
from nomyo._signals import not_ignored
from nomyo._terminal_text import visible_line
from nomyo.cli.chat.conversation import Conversation
from nomyo.cli.chat.display import Display
from nomyo.cli.chat.facts import facts_of
from nomyo.cli.chat.request import ChatSettings, cut_short, reasoning_of, text_of
from nomyo.cli.chat.waiting import shown_waiting
from nomyo.cli.command_app import failure_text
from nomyo.client import SecureCompletionClient
from nomyo.errors import NomyoError
from nomyo.exchange.protocol import SECURITY_TIERS
from nomyo.memory import get_memory_protection_info
from nomyo.responses import ChatCompletionResponse

_HELP: Final = """\
Enter sends; Alt-Enter (or Esc, then Enter) begins another line; pasted lines stay together.
Ctrl-C cancels a request, Ctrl-D leaves. Nothing is kept: not on disk, and not after the end.

  /clear          forget the conversation, and begin another
  /retry          ask for another answer to the last message
  /model NAME     go on with another model
  /tier LEVEL     ask for a security tier from now on; - asks for none
  /system TEXT    put a system message before all others from now on; - removes it
  /reasoning      show what the model reasoned before its last answer
  /info           router, its key, model, protections, and the last answer's metadata
  /help           this
  /exit           leave

/model, /tier and /system alone show what is set.

A message that begins with a slash is written with two: //etc."""


class _InputClearedError(Exception):
    """Ctrl-C at the prompt."""


class Interactive:
    """One conversation of a person with a model."""

    def __init__(self, client: SecureCompletionClient, settings: ChatSettings, display: Display) -> None:
        self._client = client
        self._settings = settings
        self._display = display
        self._conversation = Conversation()
        self._last: tuple[ChatCompletionResponse, float] | None = None
        self._request: asyncio.Future[Any] | None = None
        self._cancelled_early = False
        """Whether Ctrl-C came after Enter, and before the request began."""
        self._commands: dict[str, Callable[[], Awaitable[None]]] = {
            "/clear": self._clear,
            "/retry": self._retry,
            "/reasoning": self._reasoning,
            "/info": self._info,
            "/help": self._help,
        }
        self._setters: dict[str, Callable[[str], None]] = {
            "/model": self._set_model,
            "/tier": self._set_tier,
            "/system": self._set_system,
        }
        self._prompt: PromptSession[str] = PromptSession(
            "> ",
            history=InMemoryHistory(),
            multiline=True,
            prompt_continuation="  ",
            key_bindings=_keys(),
            completer=WordCompleter([*self._commands, *self._setters, "/exit"], sentence=True),
            complete_while_typing=False,
            interrupt_exception=_InputClearedError,
        )

    async def run(self) -> None:
        """Run the conversation until the person leaves."""
        _say(f"{self._settings.model} at {self._client.settings.base_url}, encrypted end to end. /help tells more.")
        with _on_interrupt(self._interrupt):
            while (text := await self._read()) is not None:
                if text.strip():
                    await self._run_or_send(text)

    def _interrupt(self) -> None:
        """Clear the line that is being typed, or cancel the request that is under way or about to begin."""
        prompt = get_app_or_none()
        if prompt is not None and not prompt.is_done:
            prompt.exit(exception=_InputClearedError(), style="class:aborting")
        elif self._request is not None:
            self._request.cancel()
        else:
            self._cancelled_early = True

    async def _read(self) -> str | None:
        """Return the text that was typed; None if the person leaves."""
        self._cancelled_early = False
        try:
            text = await self._prompt.prompt_async(handle_sigint=False)
        except _InputClearedError:  # Ctrl-C at the prompt does not end a conversation
            _say("Ctrl-D leaves.")
            return ""
        except EOFError:
            return None
        self._cancelled_early |= self._takes_ctrl_c_typed_ahead()
        return None if text.strip() in ("/exit", "/quit") else text

    def _takes_ctrl_c_typed_ahead(self) -> bool:
        """Return whether Ctrl-C was typed after Enter and waits as a key. Earlier input is dropped, as terminals do."""
        keys = [*get_typeahead(self._prompt.input), *self._prompt.input.read_keys()]
        end = max((place for place, press in enumerate(keys, 1) if press.key == Keys.ControlC), default=0)
        store_typeahead(self._prompt.input, keys[end:])
        return end > 0

    async def _run_or_send(self, text: str) -> None:
        if text.startswith("//"):
            await self._send(self._conversation.add_user(text[1:]))
            return
        if not text.startswith("/"):
            await self._send(self._conversation.add_user(text))
            return
        name, _, value = text.strip().partition(" ")
        setter = self._setters.get(name)
        command = self._commands.get(text.strip())
        if setter is not None:
            setter(value.strip())
        elif command is not None:
            await command()
        else:
            _say("There is no such command, so nothing was sent. /help lists them.")

    async def _send(self, messages: list[dict[str, Any]]) -> None:
        began_at = time.monotonic()
        response = await self._await(self._client.send(self._settings.call(messages)))
        if response is None:
            return
        self._last = (response, time.monotonic() - began_at)
        text = text_of(response)
        if text is None:
            _say("The answer has no text.")
            return
        self._conversation.add_answer(text)
        if words := self._display.reasoning_words(response, "/reasoning shows it"):
            _say(words)
        self._display.show(text)
        if reason := cut_short(response):
            _say(f"({reason})")

    async def _await(self, request: Awaitable[Any]) -> Any:
        """Wait for the answer. If the request failed or was cancelled, say so and return None."""
        self._request = task = asyncio.ensure_future(request)
        if self._cancelled_early:
            task.cancel()
        try:
            with shown_waiting():
                return await task
        except asyncio.CancelledError:
            if not task.cancelled():  # the program itself ends
                task.cancel()
                raise
            _say("Cancelled. /retry sends it once more.")
        except (NomyoError, OSError, ValueError, TypeError, MemoryError) as error:
            _say(f"Failed: {failure_text(error)}. /retry sends it once more.")
        finally:
            self._request = None
        return None

    async def _clear(self) -> None:
        self._conversation.clear()
        self._last = None
        _say("Forgotten.")

    async def _retry(self) -> None:
        messages = self._conversation.retry()
        if messages is None:
            _say("Nothing was said yet.")
            return
        await self._send(messages)

    def _set_model(self, name: str) -> None:
        if name:
            self._settings = replace(self._settings, model=name)
        _say(f"The model is {self._settings.model}.")

    def _set_tier(self, level: str) -> None:
        if level.lower() in SECURITY_TIERS or level == "-":
            self._settings = replace(self._settings, tier=None if level == "-" else level.lower())
        elif level:
            _say(f"There are these tiers: {', '.join(SECURITY_TIERS)}; - asks for none.")
            return
        _say(f"The security tier is {self._settings.tier or 'not asked for'}.")

    def _set_system(self, text: str) -> None:
        if text:
            self._settings = replace(self._settings, system=None if text == "-" else text)
        system = self._settings.system
        _say("There is no system message." if system is None else f"The system message is: {system}")

    async def _reasoning(self) -> None:
        _say((self._last and reasoning_of(self._last[0])) or "There is no reasoning beside the last answer.")

    async def _help(self) -> None:
        _say(_HELP)

    async def _info(self) -> None:
        settings = self._client.settings
        pem = await self._await(self._client.fetch_server_public_key())
        pinned = "pinned" if settings.pins else "not pinned"
        key = "unknown" if pem is None else f"{_core.PublicKey.from_pem(pem).fingerprint} ({pinned})"
        protection = get_memory_protection_info()
        facts = {
            "router": settings.base_url,
            "its key": key,
            "model": self._settings.model,
            "tier": self._settings.tier or "not asked for",
            "messages": f"{len(self._conversation)} so far",
            "our memory": f"{protection.method}: {protection.details}",
        }
        for name, value in (*facts.items(), *self._last_answer()):
            _say(f"{name:12} {value}")

    def _last_answer(self) -> Iterator[tuple[str, str]]:
        if self._last is not None:
            yield from facts_of(*self._last)


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("enter", filter=~completion_is_selected)
    def send(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def begin_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return keys


@contextmanager
def _on_interrupt(act: Callable[[], object]) -> Iterator[None]:
    """Call `act` in the event loop for SIGINT, instead of ending the program. Do nothing if SIGINT is ignored."""
    if not not_ignored(signal.SIGINT):
        yield
        return
    loop = asyncio.get_running_loop()
    before = signal.signal(signal.SIGINT, lambda *_: loop.call_soon_threadsafe(act) and None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _say(text: str) -> None:
    for line in text.split("\n"):
        print(visible_line(line), file=sys.stdout, flush=True)
