"""Programs whose memory is searched from outside. Each does its work, says so, and waits with all of it still alive.

    python tests/support/scanned_child.py WORK TWIN JOB

The job, a JSON file, holds no secret: those come from files, read straight into locked memory, or turned into one `str`
without a copy on the way.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from nomyo import AttestationError, NomyoError, SecureBuffer, SecureByteContext, SecureResponse, _core
from nomyo.batch import read as read_batch
from nomyo.cli import main as main_of_nomyo
from nomyo.cli.password_prompt import ask
from nomyo.exchange.passwords import from_file
from support.twins import TWINS, AsyncTwin, Twin

WORKS: dict[str, Callable[[Child], None]] = {}


class Child:
    """What a program has: its job, its client's kind, and the objects that it keeps."""

    def __init__(self, twin: Twin, job: dict[str, Any]) -> None:
        self.twin = twin
        self.job = job
        self.kept: list[Any] = []
        self.buffers: list[SecureBuffer] = []
        self.places: list[tuple[int, int]] = []
        self.pid = 0
        """The process to search, if it is not this one."""
        self.kept.append(Path(job["control"]).read_bytes())
        self.kept.append(SecureBuffer.from_file(job["locked_control"]))

    def chat(self, **options: Any) -> Any:
        return self.twin.chat(self.job["url"], **{"key_dir": self.job["keys"], **self.job["options"], **options})

    def client(self, **options: Any) -> Any:
        return self.twin.client(self.job["url"], **options)

    def messages(self) -> list[list[dict[str, Any]]]:
        """Return the messages of each request, as the job wants them."""
        read = {"str": self._text, "SecureBuffer": self._buffer}[self.job["form"]]
        return [[{"role": "user", "content": read(Path(path))}] for path in self.job["messages"]]

    def keep(self, text: str) -> None:
        """Tell of an object of ours that holds a secret."""
        self.kept.append(text)
        self.places.append((id(text), sys.getsizeof(text)))

    def send(self, chat: Any, messages: list[dict[str, Any]]) -> Any:
        """Send one request by the method that the job names."""
        return self.twin.call(getattr(chat, self.job["method"]), model="m", messages=messages)

    def ask(self, chat: Any) -> None:
        """Send all messages; keep them and the answers."""
        for messages in self.messages():
            answer = self.send(chat, messages)
            self.kept += [messages, answer]
            if isinstance(answer, SecureResponse):
                self.buffers += [answer.json, answer.content]  # type: ignore[list-item]
            else:
                self.keep(answer.choices[0].message.content)

    def close_buffers(self) -> None:
        """Close all SecureBuffers but the control."""
        for buffer in self.buffers:
            buffer.close()

    def say_ready(self) -> None:
        gc.collect()
        print(json.dumps({"places": self.places, **({"pid": self.pid} if self.pid else {})}), flush=True)
        sys.stdin.read()
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)

    def texts(self) -> list[str]:
        """Return the messages by themselves, as ordinary strings."""
        return [self._text(Path(path)) for path in self.job["messages"]]

    def _text(self, path: Path) -> str:
        """Read UTF-32 character by character: no decoder leaves a part of it behind."""
        with SecureBuffer.from_file(path.with_suffix(".utf-32")) as buffer, memoryview(buffer).cast("I") as characters:
            text = "".join(map(chr, characters))
        self.keep(text)
        return text

    def _buffer(self, path: Path) -> SecureBuffer:
        buffer = SecureBuffer.from_file(path.with_suffix(".utf-8"))
        self.buffers.append(buffer)
        return buffer


def work(function: Callable[[Child], None]) -> Callable[[Child], None]:
    WORKS[function.__name__] = function
    return function


@work
def asked(child: Child) -> None:
    chat = child.chat()
    child.ask(chat)
    child.kept.append(chat)


@work
def careless(child: Child) -> None:
    """What a program leaves that takes no care: copies in use, and copies freed."""
    for text in child.texts():
        child.kept.append(base64.b64encode(b"." + text.encode()))
        json.dumps([text])


@work
def failed(child: Child) -> None:
    """Every request ends with an error, which is kept as a log or a debugger would."""
    chat = child.chat()
    for messages in child.messages():
        child.kept.append(messages)
        try:
            child.send(chat, messages)
        except NomyoError as error:
            child.kept.append(error)
        else:
            raise AssertionError("the request should have failed")


# After how long the last request is cancelled, at the earliest.
LAST_S = 1.0


@work
def cancelled(child: Child) -> None:
    """Requests are cancelled at every stage: waiting for keys, sealing, waiting for the answer.

    The last one waits for the file by which the router tells that it has had a request: on a busy machine, for seconds.
    """
    chat = child.chat()
    assert isinstance(child.twin, AsyncTwin)

    async def cancel(messages: Any, after_s: float) -> None:
        task = asyncio.create_task(getattr(chat, child.job["method"])(model="m", messages=messages))
        await asyncio.sleep(after_s)
        while after_s >= LAST_S and not Path(child.job["received"]).exists():
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()

    for messages, after_s in zip(child.messages(), (0.0, 0.01, 0.05, 0.2, LAST_S), strict=True):
        child.kept.append(messages)
        child.twin.call(cancel, messages, after_s)


@work
def used_in_context(child: Child) -> None:
    """A buffer of the caller's is wiped, whatever the function does."""

    def fail(data: bytearray) -> None:
        raise RuntimeError(f"{len(data)} bytes")

    for path in child.job["messages"]:
        content = bytearray(Path(path).with_suffix(".utf-8").stat().st_size)
        with Path(path).with_suffix(".utf-8").open("rb", buffering=0) as file:
            file.readinto(content)
        try:
            SecureByteContext(content).use(fail)
        except RuntimeError as error:
            child.kept.append((content, error))


@work
def disposed(child: Child) -> None:
    chat = child.chat()
    child.ask(chat)
    child.close_buffers()
    chat.dispose()
    child.kept.append(chat)


@work
def collected(child: Child) -> None:
    chat = child.chat()
    child.ask(chat)
    child.close_buffers()
    child.twin._made.clear()


@work
def keys_replaced(child: Child) -> None:
    """Two pairs are generated and written, one after the other."""
    client = child.client()
    for directory in child.job["directories"]:
        child.twin.call(client.generate_keys, save_to_file=True, key_dir=directory, password=_password(child))
    child.kept.append(client)


@work
def keys_loaded(child: Child) -> None:
    client = child.client()
    path = Path(child.job["keys"]) / "private_key.pem"
    child.twin.call(client.load_keys, path, password=_password(child))
    child.kept.append(client)


@work
def rotated(child: Child) -> None:
    """A pair is rotated in the background, between two rounds of requests."""
    pem = Path(child.job["keys"]) / "private_key.pem"
    before = pem.stat().st_ino
    chat = child.chat(key_rotation_interval=2.0, key_rotation_dir=child.job["keys"])
    child.ask(chat)
    while pem.stat().st_ino == before:
        time.sleep(0.01)
    time.sleep(0.2)
    child.ask(chat)
    child.kept.append(chat)


@work
def opened_with_password(child: Child) -> None:
    chat = child.chat(key_rotation_password=_password(child))
    child.ask(chat)
    child.kept.append(chat)


@work
def sealed(child: Child) -> None:
    key = _core.PrivateKey.generate(2048).public_key
    for text in child.texts():
        for _ in range(3):
            _core.seal({"messages": [{"role": "user", "content": text}], text: 1}, key)
            _core.check_payload({"messages": [{"role": "user", "content": text}]})


@work
def refused(child: Child) -> None:
    """Payloads are refused when the text was written, in part or as a whole."""
    key = _core.PrivateKey.generate(2048).public_key
    for text in child.texts():
        for wrong in ({text: float("-inf")}, {"a": text, "b": {1}}, {text: {"c": float("nan")}}):
            try:
                _core.seal(wrong, key, limit_bytes=1_000_000)
            except (TypeError, ValueError) as error:
                child.kept.append(error)
            else:
                raise AssertionError("the payload should have been refused")


@work
def opened(child: Child) -> None:
    key = _core.load_key_pair(Path(child.job["keys"]) / "private_key.pem")[0]
    answer = _core.open_package(Path(child.job["package"]).read_bytes(), key)[0]
    for text in answer["plain"] + answer["escaped"]:
        child.keep(text)
    child.kept.append((key, answer))


@work
def refused_answers(child: Child) -> None:
    """An answer is refused by both ways to open it; or, as a control, made into objects that are let go of."""
    key = _core.load_key_pair(Path(child.job["keys"]) / "private_key.pem")[0]
    child.kept.append(key)
    if child.job["as_far_as_it_goes"]:
        _core.open_package(Path(child.job["whole"]).read_bytes(), key)
        return
    for open_one in (_core.open_package, _core.open_secret):
        try:
            open_one(Path(child.job["package"]).read_bytes(), key)
        except NomyoError as error:
            child.kept.append(error)
        else:
            raise AssertionError("the answer should have been refused")


@work
def refused_attestations(child: Child) -> None:
    """Answers are refused for their router's attestation, in both forms, and the errors kept."""
    chat = child.chat(attestation="require")
    for messages in child.messages():
        for method in (chat.create, chat.create_secure):
            try:
                child.twin.call(method, model="m", messages=messages)
            except AttestationError as error:
                child.kept.append(error)
            else:
                raise AssertionError("the answer should have been refused")
    child.kept.append(chat)


@work
def encrypted(child: Child) -> None:
    """Key files are encrypted and opened with passwords that are strings."""
    key = _core.PrivateKey.generate(2048)
    for password in child.texts():
        with key.to_pem(password) as pem:
            child.kept.append(_core.PrivateKey.from_pem(pem, password))


@work
def commanded(child: Child) -> None:
    """`nomyo chat` asks with each message; its stdout is a file, or passes for a terminal."""
    _core.harden_process = lambda: None  # or whoever is not root could not read this process
    real_isatty = os.isatty
    os.isatty = lambda descriptor: child.job["terminal"] or real_isatty(descriptor)
    here = os.dup(1)
    os.dup2(os.open(child.job["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 1)
    to_router = ["--model", "m", "--base-url", child.job["url"], "--allow-http", "--key-dir", child.job["keys"]]
    for path in child.job["messages"]:
        with suppress(SystemExit):  # what it did is in the file
            main_of_nomyo(["chat", *to_router, *child.job["command"], "--secret-file", path + ".utf-8"])
    os.dup2(here, 1)


@work
def opened_batch(child: Child) -> None:
    """`nomyo batch open` writes the rows of a sealed output to a file."""
    _core.harden_process = lambda: None  # or whoever is not root could not read this process
    with suppress(SystemExit):  # what it did is in the file
        main_of_nomyo(["batch", "open", child.job["sealed"], "-o", child.job["output"], "--key-dir", child.job["keys"]])
    if child.job["as_objects"]:
        child.kept += read_batch(child.job["sealed"], key_dir=child.job["keys"])


@work
def asked_password(child: Child) -> None:
    """A password is typed into a terminal."""
    os.setsid()
    terminal = os.open(child.job["terminal"], os.O_RDWR)  # a session leader's first one is its controlling terminal
    child.kept += [terminal, ask("Password: ")]


@work
def read_password(child: Child) -> None:
    child.kept.append(from_file(Path(child.job["password"])))


def _password(child: Child) -> SecureBuffer | None:
    if "password" not in child.job:
        return None
    password = SecureBuffer.from_file(child.job["password"])
    child.kept.append(password)
    return password


def main() -> None:
    warnings.filterwarnings("ignore", "the router is spoken to over plain HTTP")
    name, twin, job = sys.argv[1:]
    child = Child(TWINS[twin](), json.loads(Path(job).read_text()))
    WORKS[name](child)
    child.say_ready()
    child.twin.close()


if __name__ == "__main__":
    main()
