"""Key pairs on file systems that lack something, are full, or let others read: made all the same, or told."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nomyo import _core
from support.system_faults import python, under_faults

# Key files


KEYS = """
import sys; from nomyo import _core
key, created, condition, _ = _core.open_key_directory(sys.argv[1], 2048)
again, created_again, *_ = _core.open_key_directory(sys.argv[1], 2048)
replaced = _core.replace_key_pair(sys.argv[1], None, key=_core.PrivateKey.generate(2048))
written = _core.write_key_directory(sys.argv[1], key)
rotated = _core.rotate_key_directory(sys.argv[1], again, [key.public_key])
loaded = _core.load_key_directory(sys.argv[1])[1]
print(created, created_again, key.public_key.fingerprint == again.public_key.fingerprint)
conditions = [condition, replaced, written, rotated, loaded]
print([len(one.too_open) for one in conditions], [one.lockless for one in conditions])
"""
ALL_WELL = "True False True\n[0, 0, 0, 0, 0] [False, False, False, False, False]\n"


@pytest.mark.outside("strace")
@pytest.mark.parametrize("fault", ["fsync:error=EINVAL", "fsync:error=EOPNOTSUPP", "fchmod:error=EPERM"])
def test_key_pair_is_made_and_replaced_without_syncs_and_modes(fault: str, tmp_path: Path) -> None:
    done = under_faults(python(KEYS, tmp_path / "keys"), [fault])
    assert (done.returncode, done.stdout, done.stderr) == (0, ALL_WELL, "")
    assert sorted(path.name for path in (tmp_path / "keys").iterdir()) == ["private_key.pem", "public_key.pem"]


@pytest.mark.outside("strace")
@pytest.mark.parametrize("error", ["ENOLCK", "EOPNOTSUPP", "ENOSYS"])
def test_key_pair_is_made_and_replaced_without_locks_which_each_operation_tells(error: str, tmp_path: Path) -> None:
    done = under_faults(python(KEYS, tmp_path / "keys"), [f"flock:error={error}"])
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        ALL_WELL.replace(", False", ", True").replace("[False", "[True"),
        "",
    )


CLIENT = """
import sys, warnings; import nomyo
client = nomyo.SyncSecureCompletionClient("https://127.0.0.1:1", key_dir=None, key_size=2048, key_rotation_interval=0)
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    client.generate_keys(save_to_file=True, key_dir=sys.argv[1])
print(*(f"{one.category.__name__}: {one.message}" for one in told), sep="\\n")
client.dispose()
"""
STRICT_CLIENT = """
import sys; from pathlib import Path; import nomyo; from nomyo import _core
client = nomyo.SyncSecureCompletionClient("https://127.0.0.1:1", key_dir=None, key_size=2048, key_rotation_interval=0)
client.wait_for_keys()
try:
    client.generate_keys(save_to_file=True, key_dir=sys.argv[1])
except UserWarning as warning:
    print(warning)
written = _core.PublicKey.from_pem(Path(sys.argv[1], "public_key.pem").read_bytes())
print(client.decrypt_response(_core.seal({"choices": []}, written), "an ID").choices)
client.dispose()
"""
NO_LOCKS = "its file system has no locks"
TOO_OPEN = "can be read or changed by others: set its mode to 0600 (a directory's to 0700)"


@pytest.mark.outside("strace")
def test_client_warns_where_there_are_no_locks(tmp_path: Path) -> None:
    done = under_faults(python(CLIENT, tmp_path / "keys"), ["flock:error=ENOLCK"])
    assert done.stdout.startswith(f"UserWarning: {tmp_path / 'keys'}: {NO_LOCKS}"), done.stderr
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.outside("strace")
def test_client_uses_the_new_pair_where_its_warning_is_raised(tmp_path: Path) -> None:
    done = under_faults(python(STRICT_CLIENT, tmp_path / "keys"), ["flock:error=ENOLCK"])
    first, *rest = done.stdout.splitlines()
    assert (NO_LOCKS in first, rest) == (True, ["[]"]), done.stderr


@contextmanager
def modes_of_the_mount(directory: Path) -> Iterator[list[str]]:
    """Have new files be as open as a mount without modes makes them, in the time that the fault `NO_MODES` gives."""
    ended = threading.Event()

    def open_up() -> None:
        while not ended.wait(0.005):
            with contextlib.suppress(OSError):
                (directory / ".private_key.pem.new").chmod(0o755)

    thread = threading.Thread(target=open_up)
    thread.start()
    try:
        yield ["fchmod:error=EPERM:delay_enter=200000"]  # microseconds
    finally:
        ended.set()
        thread.join()


@pytest.mark.outside("strace")
def test_client_warns_of_a_pair_that_it_wrote_and_others_can_read(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    with modes_of_the_mount(keys) as faults:
        done = under_faults(python(CLIENT, keys), faults)
    assert done.stdout == f"UserWarning: {keys / 'private_key.pem'} {TOO_OPEN}\n", done.stderr


@pytest.mark.outside("strace")
@pytest.mark.parametrize("words", [["generate", "--key-size", "2048"], ["rotate"], ["password", "--new-password-file"]])
def test_keys_command_says_that_others_can_read_what_it_wrote(words: list[str], tmp_path: Path) -> None:
    keys, password = tmp_path / "keys", tmp_path / "password"
    password.write_text("a password of sufficient length")
    password.chmod(0o600)
    if words[0] == "generate":
        words = [*words, "--no-password"]
    else:
        _core.write_key_directory(keys, _core.PrivateKey.generate(2048))
    if words[0] == "password":
        words = [*words, str(password)]
    with modes_of_the_mount(keys) as faults:
        done = under_faults([sys.executable, "-m", "nomyo", "keys", *words, "--key-dir", str(keys)], faults)
    assert done.returncode == 0, done.stderr
    assert f"nomyo keys: warning: {keys / 'private_key.pem'} {TOO_OPEN}" in done.stderr


@pytest.mark.outside("strace")
@pytest.mark.parametrize("words", [["generate", "--key-size", "2048", "--no-password"], ["rotate"], ["show"]])
def test_keys_command_says_that_there_are_no_locks(words: list[str], tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    if words[0] != "generate":
        _core.write_key_directory(keys, _core.PrivateKey.generate(2048))
    command = [sys.executable, "-m", "nomyo", "keys", *words, "--key-dir", str(keys)]
    done = under_faults(command, ["flock:error=ENOLCK"])
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(f"nomyo keys: warning: {keys}: {NO_LOCKS}") == 1, done.stderr


@pytest.mark.outside("strace")
@pytest.mark.parametrize("fault", ["fsync:error=EIO", "flock:error=EIO", "renameat:error=EROFS", "fchmod:error=EIO"])
def test_failure_of_the_disk_names_the_key_file(fault: str, tmp_path: Path) -> None:
    done = under_faults(python(KEYS, tmp_path / "keys"), [fault])
    assert done.returncode == 1
    assert f": '{tmp_path / 'keys'}" in done.stderr, done.stderr
