"""Work on the native core in tests: copies that may be wiped, and what a forked child says."""

from __future__ import annotations

import os
from collections.abc import Callable

from nomyo import _core

PASSWORD = "correct horse é"
PAYLOAD = {"model": "m", "messages": [{"role": "user", "content": "Grüße"}]}


def short_lived_key(key: _core.PrivateKey) -> _core.PrivateKey:
    """A copy that a test may wipe."""
    with key.to_pem() as pem:
        return _core.PrivateKey.from_pem(pem)


def in_child(work: Callable[[], object]) -> str:
    """What `work` returns or raises in a forked child."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            answer = f"returned {work()!r}"
        except BaseException as error:  # noqa: BLE001
            answer = f"{type(error).__name__}: {error}"
        os.write(writing, answer.encode()[:4000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    assert status == 0, f"the child died: {status}"
    return answer
