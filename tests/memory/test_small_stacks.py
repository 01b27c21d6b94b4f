"""On threads with small stacks (musl gives 128 KiB) the core works or says what is too small, and never crashes."""

from __future__ import annotations

from pathlib import Path

import pytest

from nomyo.serve.router.running import RunningRouter
from support.process import LIMITED, output_of
from support.small_stacks import KIB, says_too_small, stack_bytes

PROGRAM = """
import sys, threading, warnings
warnings.filterwarnings("ignore", message="the router is spoken to over plain HTTP")
warnings.filterwarnings("ignore", message=".*could not be locked|.*not locked|.*too small for the working memory")
import nomyo
from nomyo import SecureBuffer, _core

def say(work):
    try:
        print(work())
    except Exception as error:
        print(f"{type(error).__name__}: {error}")

def in_thread(size, *works):
    threading.stack_size(size)
    try:
        thread = threading.Thread(target=lambda: [say(work) for work in works])
        thread.start()
    finally:
        threading.stack_size(0)
    thread.join()

def nested(levels):
    value = 1
    for level in range(levels):
        value = {"a": value} if level % 2 else [value]
    return {"a": value}

key = _core.PrivateKey.generate(2048)
"""
OPERATIONS = """
payload = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
package = _core.seal(payload, key.public_key)
row = _core.seal_bytes(b"row", key.public_key, b"context")
pem, directory = key.to_pem("a password"), sys.argv[2]
in_thread(
    int(sys.argv[1]),
    lambda: SecureBuffer(b"secret") == b"secret",
    lambda: _core.check_payload(payload),
    lambda: _core.open_package(_core.seal(payload, key.public_key), key)[0] == payload,
    lambda: _core.open_secret(package, key)[2]["model"],
    lambda: _core.open_bytes(_core.seal_bytes(b"row", key.public_key, b"context"), key, b"context") == b"row",
    lambda: _core.PrivateKey.generate(2048).bits,
    lambda: _core.PrivateKey.from_pem(pem, "a password").public_key == key.public_key,
    lambda: key.to_pem("a password").locked is not None,
    lambda: _core.open_key_directory(directory, 2048, "a password")[1],
    lambda: _core.PublicKey.from_pem(key.public_key.pem) == key.public_key,
)
"""


@pytest.mark.parametrize("stack_kib", [32, 64, 128])
def test_every_operation_works_on_a_small_stack(stack_kib: int, tmp_path: Path) -> None:
    said = output_of(PROGRAM + OPERATIONS, str(stack_bytes(stack_kib)), str(tmp_path / "keys"))
    assert said.splitlines() == ["True", "None", "True", "m", "True", "2048", "True", "True", "True", "True"]


NESTED = """
payload = nested(int(sys.argv[2]))
package = _core.seal(payload, key.public_key)
in_thread(
    int(sys.argv[1]),
    lambda: _core.check_payload(payload),
    lambda: _core.open_package(_core.seal(payload, key.public_key), key)[0] == payload,
    lambda: _core.open_package(package, key)[1],
    lambda: _core.open_secret(package, key)[2]["model"],
)
"""


@pytest.mark.parametrize(("stack_kib", "levels"), [(32, 10), (64, 50), (256, 199)])
def test_nested_json_is_written_and_read_as_far_as_the_stack_goes(stack_kib: int, levels: int) -> None:
    said = output_of(PROGRAM + NESTED, str(stack_bytes(stack_kib)), str(levels)).splitlines()
    assert said == ["None", "True", "hybrid-aes256-rsa4096", "None"]


@pytest.mark.parametrize("stack_kib", [32, 48, 64])
def test_json_that_is_nested_too_deep_for_the_stack_is_an_error_in_words(stack_kib: int) -> None:
    said = output_of(PROGRAM + NESTED, str(stack_bytes(stack_kib)), "199").splitlines()
    # What is passed over, not read, needs no stack.
    assert [says_too_small(line) for line in said] == [True, True, True, False], said
    assert said[3] == "None"


FIRST_THREAD = """
payload = nested(199)
package = _core.seal(payload, key.public_key)
say(lambda: _core.open_package(package, key)[0] == payload)
say(lambda: _core.PrivateKey.generate(2048).bits)
"""


@pytest.mark.parametrize("limit", [512 * KIB, "unlimited"])
def test_first_thread_has_what_its_limit_gives(limit: object) -> None:
    said = output_of(PROGRAM + FIRST_THREAD, before=[*LIMITED, f"--stack={limit}:unlimited"])
    assert said.splitlines() == ["True", "2048"]


@pytest.mark.outside("root, to unmount /proc")
def test_first_thread_works_where_proc_is_not_mounted() -> None:
    before = ["unshare", "--mount", "sh", "-c", 'umount -l /proc && exec "$@"', "sh"]
    said = output_of(PROGRAM + FIRST_THREAD, before=before)
    assert said.splitlines() == ["True", "2048"]


CLIENT = """
def ask():
    answer = client.create(model="m", messages=[{"role": "user", "content": "Hello"}])
    return answer.choices[0].message.content

with nomyo.SyncSecureChatCompletion(sys.argv[2], True, key_dir=sys.argv[3]) as client:
    in_thread(int(sys.argv[1]), ask, ask)
"""


@pytest.mark.parametrize("stack_kib", [64, 128])
def test_client_of_a_thread_with_a_small_stack_gets_its_answer(
    stack_kib: int, router: RunningRouter, key_directory: Path
) -> None:
    said = output_of(PROGRAM + CLIENT, str(stack_bytes(stack_kib)), router.url, str(key_directory))
    assert said.splitlines() == ["Hello", "Hello"]


FORKED = """
import os
warnings.filterwarnings("ignore", message=".*multi-threaded, use of fork", category=DeprecationWarning)
payload = nested(199)

def fork_first():
    child = os.fork()
    if child == 0:
        say(lambda: _core.PrivateKey.generate(2048).bits)
        say(lambda: _core.check_payload(payload))
        sys.stdout.flush()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

in_thread(int(sys.argv[1]), fork_first)
"""


def test_child_that_a_thread_forked_knows_the_stack_of_that_thread() -> None:
    """In the child it is the first thread, whose stack would grow."""
    bits, nested, ended = output_of(PROGRAM + FORKED, str(stack_bytes(64))).splitlines()
    assert (bits, says_too_small(nested), ended) == ("2048", True, "0"), nested
