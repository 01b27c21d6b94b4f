"""`audit_log`: a line for each request, with digests and no content, on the disk before the answer is handed out."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

import nomyo
import nomyo.batch
from nomyo import _core
from nomyo.serve.router.running import RunningRouter
from nomyo.trust import chain
from nomyo.trust.audit_log import KIND
from support.faults import Answer, FaultyRouter
from support.process import output_of, unmeasured
from support.twins import Twin
from support.waiting import until

QUESTION: dict[str, Any] = {"model": "the-model", "messages": [{"role": "user", "content": "the-prompt"}]}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def entries(log: Path) -> list[dict[str, Any]]:
    """Return the lines of a log, whose chain must be whole."""
    found = list(chain.links(log, KIND))
    assert all(isinstance(each, chain.Link) for each in found)
    return [each.entry for each in found if isinstance(each, chain.Link)]


def test_line_says_what_was_exchanged_and_nothing_of_the_content(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, client_key: _core.PrivateKey, log: Path
) -> None:
    answers: list[bytes] = []
    faulty_router.change = lambda package: answers.append(package) or package  # type: ignore[func-returns-value]
    chat = twin.chat(faulty_router.url, key_dir=key_directory, api_key="the-api-key", audit_log=log)

    twin.call(chat.create, QUESTION, security_tier="high")

    [entry] = entries(log)
    (post,) = faulty_router.posts
    assert datetime.fromisoformat(entry.pop("time")).utcoffset() is not None
    assert entry.pop("took_s") >= 0
    memory = entry.pop("memory")
    assert memory["locked_bytes"] > 0
    assert (memory["required"], memory["refused_calls"]) == (False, [])
    assert entry == {
        "router": faulty_router.url,
        "payload_id": post.headers["x-payload-id"],
        "tier": "high",
        "error": None,
        "router_key": faulty_router.running.router.keys.fingerprint,
        "client_key": client_key.public_key.fingerprint,
        "request_bytes": len(post.body),
        "request_sha256": hashlib.sha256(post.body).hexdigest(),
        "status": 200,
        "response_bytes": len(answers[0]),
        "response_sha256": hashlib.sha256(answers[0]).hexdigest(),
        "attestation": "absent",
    }
    assert not re.search("the-", log.read_text())
    assert log.stat().st_mode & 0o777 == 0o600


def test_model_is_named_if_that_was_asked_for(
    twin: Twin, router: RunningRouter, key_directory: Path, log: Path
) -> None:
    chat = twin.chat(router.url, key_dir=key_directory, audit_log=log, audit_model=True)

    twin.call(chat.create, QUESTION)

    assert [entry["model"] for entry in entries(log)] == ["the-model"]


def test_answer_in_locked_memory_has_its_line_too(
    twin: Twin, router: RunningRouter, key_directory: Path, log: Path
) -> None:
    chat = twin.chat(router.url, key_dir=key_directory, audit_log=log)

    with twin.call(chat.create_secure, QUESTION):
        assert [entry["status"] for entry in entries(log)] == [200]


def test_nothing_is_written_without_the_option(
    twin: Twin, router: RunningRouter, key_directory: Path, tmp_path: Path
) -> None:
    twin.call(twin.chat(router.url, key_dir=key_directory).create, QUESTION)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("status", "error"), [(401, "AuthenticationError"), (503, "ServiceUnavailableError"), (418, "APIError")]
)
def test_refused_request_has_a_line_with_its_status(
    twin: Twin,
    faulty_router: FaultyRouter,
    key_directory: Path,
    sleeps: list[float],
    log: Path,
    status: int,
    error: str,
) -> None:
    faulty_router.always(Answer(status, b'{"detail": "the-prompt"}'))
    chat = twin.chat(faulty_router.url, key_dir=key_directory, audit_log=log)

    with pytest.raises(nomyo.APIError):
        twin.call(chat.create, QUESTION)

    [entry] = entries(log)
    assert (entry["status"], entry["error"]) == (status, error)
    assert entry["request_sha256"] == hashlib.sha256(faulty_router.posts[-1].body).hexdigest()
    assert "the-prompt" not in log.read_text()


def test_answer_that_cannot_be_opened_has_a_line(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, log: Path
) -> None:
    faulty_router.change = lambda package: package[:-1]
    chat = twin.chat(faulty_router.url, key_dir=key_directory, audit_log=log)

    with pytest.raises(nomyo.SecurityError):
        twin.call(chat.create, QUESTION)

    [entry] = entries(log)
    assert (entry["status"], entry["error"]) == (200, "SecurityError")


def test_request_without_an_answer_has_a_line_that_says_what_was_sealed(
    twin: Twin, unused_port: int, key_directory: Path, log: Path
) -> None:
    chat = twin.chat(f"http://127.0.0.1:{unused_port}", key_dir=key_directory, max_retries=0, audit_log=log)

    with pytest.raises(nomyo.APIConnectionError):
        twin.call(chat.create, QUESTION)

    [entry] = entries(log)
    assert (entry["error"], entry["status"]) == ("APIConnectionError", None)
    assert entry["request_sha256"] is None  # there was no key to seal it for


def test_package_that_was_sealed_for_a_replaced_key_has_a_line_of_its_own(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, log: Path
) -> None:
    chat = twin.chat(faulty_router.url, key_dir=key_directory, audit_log=log)
    twin.call(chat.create, QUESTION)
    faulty_router.running.router.rotate()
    faulty_router.answers.append(Answer(400))

    twin.call(chat.create, QUESTION)

    _, refused, accepted = entries(log)
    assert (refused["status"], accepted["status"]) == (400, 200)
    assert (refused["error"], accepted["error"]) == (None, None)
    assert refused["payload_id"] == accepted["payload_id"]
    assert refused["router_key"] != accepted["router_key"] == faulty_router.running.router.keys.fingerprint


@pytest.mark.parametrize("mistake", [{"temperature": float("nan")}, {"security_tier": "none"}])
def test_mistake_in_a_call_has_no_line(
    twin: Twin, router: RunningRouter, key_directory: Path, log: Path, mistake: dict[str, Any]
) -> None:
    chat = twin.chat(router.url, key_dir=key_directory, audit_log=log)

    with pytest.raises(ValueError):
        twin.call(chat.create, QUESTION, **mistake)

    assert not log.exists() or entries(log) == []


def test_nothing_is_sent_if_no_line_can_be_written(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, tmp_path: Path
) -> None:
    chat = twin.chat(faulty_router.url, key_dir=key_directory, audit_log=tmp_path / "missing" / "audit.jsonl")

    with pytest.raises(nomyo.ConfigurationError, match=r"audit_log: .* cannot be written .*; nothing was sent") as told:
        twin.call(chat.create, QUESTION)

    assert not told.value.sent
    assert faulty_router.received == []
    assert (told.value.__cause__, told.value.__context__) == (None, None)


def test_log_that_fails_withholds_the_answer_and_owes_its_line(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, log: Path
) -> None:
    chat = twin.chat(faulty_router.url, key_dir=key_directory, audit_log=log)
    twin.call(chat.create, QUESTION)
    log.chmod(0o644)  # which is refused

    with pytest.raises(nomyo.ConfigurationError, match="the answer is not handed out") as withheld:
        twin.call(chat.create_secure, QUESTION)
    with pytest.raises(nomyo.ConfigurationError, match="nothing was sent"):
        twin.call(chat.create, QUESTION)
    assert withheld.value.sent
    assert len(faulty_router.posts) == 2
    log.chmod(0o600)
    twin.call(chat.create, QUESTION)

    assert [entry["payload_id"] for entry in entries(log)] == [
        post.headers["x-payload-id"] for post in faulty_router.posts
    ]


def test_log_of_another_form_is_refused_and_stays_as_it_is(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, log: Path
) -> None:
    log.write_text("a text of mine\n" * 80_000)
    log.chmod(0o600)
    before = log.read_bytes()
    chat = twin.chat(faulty_router.url, key_dir=key_directory, audit_log=log)

    with pytest.raises(nomyo.ConfigurationError, match="nothing was sent"):
        twin.call(chat.create, QUESTION)

    assert log.read_bytes() == before


FULL_DISK = """
import os, resource, signal, sys, warnings
import nomyo
warnings.simplefilter("ignore", UserWarning)
url, key_dir, log = sys.argv[1:]
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
question = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
with nomyo.SyncSecureChatCompletion(url, True, key_dir=key_dir, audit_log=log) as chat:
    chat.create(question)
    size = os.path.getsize(log)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, resource.RLIM_INFINITY))
    try:
        chat.create(question)
    except nomyo.ConfigurationError as error:
        print(error.sent, "too large" in str(error))
    print(os.path.getsize(log) == size)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    chat.create(question)
"""


def test_line_that_finds_no_room_withholds_the_answer_and_is_written_whole_later(
    router: RunningRouter, key_directory: Path, log: Path
) -> None:
    said = output_of(FULL_DISK, router.url, str(key_directory), str(log))

    assert said.split() == ["True", "True", "True"]
    assert [entry["status"] for entry in entries(log)] == [200, 200, 200]


class _InterruptsAtOpening(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith("opened"):
            raise KeyboardInterrupt


def test_request_that_is_interrupted_while_its_answer_is_opened_has_a_line(
    faulty_router: FaultyRouter, key_directory: Path, log: Path, caplog: pytest.LogCaptureFixture
) -> None:
    handler = _InterruptsAtOpening()
    with nomyo.SyncSecureChatCompletion(faulty_router.url, True, key_dir=key_directory, audit_log=log) as chat:
        caplog.set_level(logging.DEBUG, "nomyo")
        logging.getLogger("nomyo").addHandler(handler)
        try:
            with pytest.raises(KeyboardInterrupt):
                chat.create(QUESTION)
        finally:
            logging.getLogger("nomyo").removeHandler(handler)

    until(lambda: len(entries(log)) == 1)
    [entry] = entries(log)
    assert (entry["error"], entry["status"]) == ("cancelled", 200)
    assert entry["request_sha256"] == hashlib.sha256(faulty_router.posts[0].body).hexdigest()


SEVERAL = """
import os, sys, threading, warnings
import nomyo
warnings.simplefilter("ignore", UserWarning)
url, key_dir, log = sys.argv[1:]

def ask(count):
    with nomyo.SyncSecureChatCompletion(url, True, key_dir=key_dir, audit_log=log) as chat:
        for _ in range(count):
            chat.create(model="m", messages=[{"role": "user", "content": "x"}])

ask(2)
children = []
for _ in range(2):
    child = os.fork()
    if child == 0:
        ask(5)
        os._exit(0)
    children.append(child)
threads = [threading.Thread(target=ask, args=(5,)) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(*(os.waitpid(child, 0)[1] for child in children))
"""


def test_clients_threads_and_forked_processes_share_one_chain(
    router: RunningRouter, key_directory: Path, log: Path
) -> None:
    said = output_of(SEVERAL, router.url, str(key_directory), str(log), env=unmeasured())

    assert said.split() == ["0", "0"]
    lines = entries(log)
    assert len(lines) == 22
    assert len({line["payload_id"] for line in lines}) == 22


def test_batch_has_a_line_for_each_row_and_stops_if_none_can_be_written(
    router: RunningRouter, key_directory: Path, tmp_path: Path, log: Path
) -> None:
    source = tmp_path / "in.jsonl"
    sent = {"method": "POST", "url": "/v1/chat/completions", "body": QUESTION}
    rows = ({"custom_id": str(number), **sent} for number in range(3))
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options: dict[str, Any] = {"base_url": router.url, "allow_http": True, "key_dir": key_directory}

    nomyo.batch.run(source, tmp_path / "out.jsonl", audit_log=log, **options)
    with pytest.raises(nomyo.BatchError, match="audit_log"):
        nomyo.batch.run(source, tmp_path / "other.jsonl", audit_log=tmp_path / "missing" / "audit.jsonl", **options)

    assert [entry["status"] for entry in entries(log)] == [200, 200, 200]


@pytest.mark.parametrize("path", ["", "a\0b", 7])
def test_path_that_is_none_is_refused_when_the_client_is_made(twin: Twin, path: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="audit_log"):
        twin.chat("http://127.0.0.1:9", audit_log=path)
