"""`nomyo keys`, as a user runs it; Python's `cryptography` judges the files."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from support.commands import run_here
from support.process import run_python
from support.scene import write_keys
from support.terminal import CTRL_C, ENTER, in_terminal

PASSWORD, NEW_PASSWORD = "a pässword of sufficient length", "another of sufficient length"
SMALL = ["--key-size", "2048"]


def keys(*arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run it without a terminal to ask on."""
    command = [sys.executable, "-m", "nomyo", "keys", *arguments]
    return subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=60, check=False, start_new_session=True
    )


def here(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it in this process, where its words are what is tested; it must ask for nothing."""
    return run_here("keys", *arguments)


def facts(*arguments: str) -> dict[str, Any]:
    done = keys(*arguments, "--json")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed


def fingerprint(directory: Path, password: str | None = None) -> str:
    """Open the private key without any code of ours, and return the fingerprint of its public half."""
    pem = (directory / "private_key.pem").read_bytes()
    public = serialization.load_pem_private_key(pem, password and password.encode()).public_key()  # type: ignore[arg-type]
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    assert public.public_bytes(serialization.Encoding.PEM, spki) == (directory / "public_key.pem").read_bytes()
    der = public.public_bytes(serialization.Encoding.DER, spki)
    return "SHA256:" + base64.b64encode(hashlib.sha256(der).digest()).decode().rstrip("=")


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.fixture
def secret(tmp_path: Path) -> str:
    return password_file(tmp_path / "secret", PASSWORD)


@pytest.fixture
def new_secret(tmp_path: Path) -> str:
    return password_file(tmp_path / "new_secret", NEW_PASSWORD)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    write_keys(tmp_path / "client_keys")
    (tmp_path / "client_keys" / "public_key.pem").chmod(0o644)
    return tmp_path / "client_keys"


@pytest.fixture
def encrypted(tmp_path: Path) -> Path:
    write_keys(tmp_path / "client_keys", PASSWORD)
    (tmp_path / "client_keys" / "public_key.pem").chmod(0o644)
    return tmp_path / "client_keys"


def password_file(path: Path, password: str) -> str:
    path.write_text(password + "\n")
    path.chmod(0o600)
    return str(path)


def test_generated_pair_is_private_and_encrypted(tmp_path: Path, secret: str) -> None:
    printed = facts("generate", *SMALL, "--password-file", secret)
    directory = tmp_path / "client_keys"
    assert printed == {
        "key_dir": "client_keys",
        "fingerprint": fingerprint(directory, PASSWORD),
        "bits": 2048,
        "encrypted": True,
    }
    assert [path.stat().st_mode & 0o777 for path in (directory, directory / "private_key.pem")] == [0o700, 0o600]


def test_pair_has_4096_bits_by_default_and_a_password_unless_told_otherwise(tmp_path: Path) -> None:
    refused = keys("generate")
    assert refused.returncode == 2
    assert "--password-file or --no-password" in refused.stderr
    assert not (tmp_path / "client_keys").exists()
    assert facts("generate", "--no-password", "--key-dir", "a/b")["bits"] == 4096
    fingerprint(tmp_path / "a/b")


@pytest.mark.parametrize("remains", [{"private_key.pem"}, {"public_key.pem"}, {"private_key.pem", "public_key.pem"}])
def test_key_that_is_there_is_never_overwritten(plain: Path, remains: set[str]) -> None:
    for name in {"private_key.pem", "public_key.pem"} - remains:
        (plain / name).unlink()
    before = contents(plain)
    done = keys("generate", *SMALL, "--no-password")
    assert (done.returncode, contents(plain)) == (1, before)
    assert "has a key in it already, which stays" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["generate", "--key-size", "1024"], "2048, 3072 or 4096"),
        (["rotate", "--key-size", "8192"], "2048, 3072 or 4096"),
        (["generate", "--no-password", "--password-file", "x"], "not both"),
        (["password", "--no-password", "--new-password-file", "x"], "not both"),
        (["generate", "--password", "x"], "No such option"),
        (["dance"], "No such command"),
        (["show", "surplus"], "unexpected extra argument"),
    ],
)
def test_wrong_use_is_refused(arguments: list[str], words: str) -> None:
    done = here(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr


@pytest.mark.parametrize("content", ["1234567\n", "", "\n"])
def test_password_that_is_too_short_makes_no_pair(content: str, tmp_path: Path) -> None:
    (tmp_path / "short").write_text(content)
    (tmp_path / "short").chmod(0o600)
    assert here("generate", *SMALL, "--password-file", "short").returncode == 2
    assert not [*tmp_path.glob("client_keys/*")]


def test_show_tells_the_fingerprint_without_a_password(encrypted: Path, secret: str) -> None:
    printed = facts("show")
    assert printed["fingerprint"] == fingerprint(encrypted, PASSWORD)
    assert (printed["encrypted"], printed["verified"], printed["private_key_mode"]) == (True, False, "0600")
    assert facts("show", "--password-file", secret)["verified"] is True
    assert printed["fingerprint"] in here("show").stdout


def test_show_refuses_halves_that_do_not_belong_together(plain: Path, client_key: Any) -> None:
    assert facts("show")["verified"] is True
    (plain / "public_key.pem").write_text(client_key.public_key.pem)
    done = here("show")
    assert (done.returncode, done.stdout) == (1, "")
    assert "does not belong to the private key" in done.stderr


def test_missing_directory_is_a_failure_and_is_not_made(tmp_path: Path) -> None:
    for command in ("show", "rotate", "check", ("password", "--no-password")):
        done = keys(*([command] if isinstance(command, str) else command))
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("nomyo keys: client_keys")
    assert not [*tmp_path.iterdir()]


def test_failure_is_told_as_json_where_that_is_asked_for() -> None:
    error = json.loads(here("show", "--json").stderr)["error"]
    words = "client_keys: No such file or directory; `nomyo keys generate` makes a pair"
    assert error == {"type": "FileNotFoundError", "message": words}


@pytest.mark.parametrize(
    "arguments", [["dance"], ["show", "surplus"], ["generate", "--key-size", "1024"], ["generate"]]
)
def test_wrong_use_is_told_as_json_where_that_is_asked_for(arguments: list[str]) -> None:
    done = keys(*arguments, "--json")
    assert (done.returncode, done.stdout) == (2, "")
    error = json.loads(done.stderr)["error"]
    assert error["type"] == "UsageError"
    assert error["message"]


def test_help_is_help_with_json_too() -> None:
    done = here("show", "--json", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: nomyo keys show")


def test_password_is_set_changed_and_removed(plain: Path, secret: str, new_secret: str) -> None:
    before = fingerprint(plain)
    facts("password", "--new-password-file", secret)
    assert fingerprint(plain, PASSWORD) == before
    facts("password", "--password-file", secret, "--new-password-file", new_secret)
    assert fingerprint(plain, NEW_PASSWORD) == before
    printed = facts("password", "--password-file", new_secret, "--no-password")
    assert (fingerprint(plain), printed["fingerprint"], printed["encrypted"]) == (before, before, False)


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (["password", "--password-file", "new_secret", "--no-password"], 1, "wrong password"),
        (["rotate", "--password-file", "new_secret"], 1, "wrong password"),
        (["password", "--password-file", "secret", "--new-password-file", "short"], 2, "at least 8 characters"),
        (["password", "--password-file", "nowhere", "--no-password"], 1, "nowhere: No such file"),
        (["password", "--password-file", "short", "--no-password"], 1, "wrong password"),
        (["password", "--password-file", "secret", "--new-password-file", "empty"], 2, "empty"),
        (["password", "--password-file", "empty", "--no-password"], 2, "empty"),
    ],
)
@pytest.mark.usefixtures("secret", "new_secret")
def test_failure_leaves_the_files_as_they_were(
    encrypted: Path, tmp_path: Path, command: list[str], code: int, words: str
) -> None:
    password_file(tmp_path / "short", "1234567")
    (tmp_path / "empty").touch(0o600)
    before = contents(encrypted)
    done = keys(*command)
    assert (done.returncode, contents(encrypted)) == (code, before)
    assert words in done.stderr
    assert PASSWORD not in done.stderr


def test_rotated_pair_is_new_and_keeps_size_and_password(encrypted: Path, secret: str) -> None:
    before = fingerprint(encrypted, PASSWORD)
    printed = facts("rotate", "--password-file", secret)
    assert printed["replaced"] == before
    assert printed["fingerprint"] == fingerprint(encrypted, PASSWORD) != before
    assert printed["bits"] == 2048
    assert facts("rotate", "--key-size", "4096", "--password-file", secret)["bits"] == 4096


def test_encrypted_pair_never_becomes_a_plain_one_by_rotation(encrypted: Path, plain: Path, secret: str) -> None:
    write_keys(encrypted, PASSWORD)
    before = contents(encrypted)
    done = keys("rotate")
    assert (done.returncode, contents(encrypted)) == (2, before)
    assert "a password is needed" in done.stderr


def test_passwords_are_asked_for_and_not_shown(tmp_path: Path) -> None:
    with in_terminal("keys", "generate", *SMALL, cwd=tmp_path) as terminal:
        terminal.see("New password, at least 8 characters: ")
        terminal.type(PASSWORD, ENTER)
        terminal.see("once more: ")
        terminal.type("something else", ENTER)
        terminal.see("They differ. New password, at least 8 characters: ")
        for _ in range(2):
            terminal.type(PASSWORD, ENTER)
            shown = terminal.see("once more: " if _ == 0 else "fingerprint")
            assert "ssword of suff" not in shown
        assert terminal.end()[0] == 0
    made = fingerprint(tmp_path / "client_keys", PASSWORD)
    with in_terminal("keys", "rotate", cwd=tmp_path) as terminal:
        terminal.see("Password of client_keys: ")
        terminal.type(PASSWORD, ENTER)
        assert terminal.end()[0] == 0
    assert fingerprint(tmp_path / "client_keys", PASSWORD) != made


def test_interrupted_question_changes_nothing_and_leaves_the_terminal_as_it_was(encrypted: Path) -> None:
    before = contents(encrypted)
    with in_terminal("keys", "rotate", cwd=encrypted.parent) as terminal:
        terminal.see("Password of client_keys: ")
        terminal.type(CTRL_C)
        assert terminal.end()[0] == 130
        assert terminal.echoes
    assert contents(encrypted) == before


def test_password_comes_through_a_pipe_too(encrypted: Path) -> None:
    assert keys("rotate", "--password-file", "-", stdin=PASSWORD + "\r\n").returncode == 0
    fingerprint(encrypted, PASSWORD)


def test_password_file_that_others_can_read_is_warned_of(encrypted: Path, secret: str) -> None:
    os.chmod(secret, 0o640)
    assert f"warning: others can read {secret}: chmod 600" in keys("show", "--password-file", secret).stderr


def link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def link_where_others_write(path: Path) -> None:
    directory = path.with_name("elsewhere")
    directory.mkdir()
    directory.chmod(0o777)
    path.rename(directory / "file")
    path.symlink_to("elsewhere/file")


def test_link_that_the_clients_follow_is_no_finding(plain: Path) -> None:
    link(plain / "private_key.pem")
    assert keys("check").returncode == 0
    (plain / "private_key.pem").chmod(0o644)
    (found,) = json.loads(keys("check", "--json").stdout)["findings"]
    assert found["problem"] == "its mode 0644 lets others in"
    assert found["advice"] == "chmod 600 client_keys/private_key.pem; a mounted secret: `defaultMode: 0400`"


def test_javascript_clients_own_form_is_known_for_encrypted(plain: Path) -> None:
    """It is labelled as a plain key."""
    form = Path(__file__).parents[2] / "rust/core/tests/fixtures/private_javascript.pem"
    (plain / "private_key.pem").write_bytes(form.read_bytes())
    shown = facts("show")
    assert (shown["encrypted"], shown["verified"]) == (True, False)


WEAKNESSES: list[tuple[Callable[[Path], object], str, str]] = [
    (lambda d: d.chmod(0o777), "client_keys", "others can exchange the files in it"),
    (lambda d: d.parent.chmod(0o777), "", "others can exchange what is in it"),
    (lambda d: (d / "private_key.pem").chmod(0o640), "client_keys/private_key.pem", "its mode 0640 lets others in"),
    (lambda d: (d / "public_key.pem").chmod(0o666), "client_keys/public_key.pem", "others can write to it"),
    (lambda d: link_where_others_write(d / "private_key.pem"), "client_keys/private_key.pem", "it is a symbolic link"),
    (lambda d: link_where_others_write(d / "public_key.pem"), "client_keys/public_key.pem", "it is a symbolic link"),
    (link, "client_keys", "it is a symbolic link"),
    (lambda d: os.link(d / "private_key.pem", d.parent / "x"), "client_keys/private_key.pem", "it has 2 names"),
    (lambda d: (d / "private_key.pem").unlink(), "client_keys/private_key.pem", "there is none"),
    (lambda d: (d / "public_key.pem").unlink(), "client_keys/public_key.pem", "there is none"),
    (lambda d: dangling(d / "private_key.pem"), "client_keys/private_key.pem", "link, and does not open: No such"),
    (lambda d: (d / "private_key.pem").write_text("x"), "client_keys", "the pair does not open"),
    (lambda d: (d / ".private_key.pem.new").write_text("x"), "client_keys/.private_key.pem.new", "left it behind"),
]


@pytest.mark.parametrize(("weaken", "path", "problem"), WEAKNESSES, ids=[problem for _, _, problem in WEAKNESSES])
def test_each_weakness_is_found_with_advice(
    plain: Path, weaken: Callable[[Path], object], path: str, problem: str
) -> None:
    sound = here("check")
    assert sound.stdout.startswith("client_keys: nothing is wrong\n"), sound.stdout
    assert sound.returncode == 0
    weaken(plain)
    done = here("check", "--json")
    printed = json.loads(done.stdout)
    found = [one for one in printed["findings"] if problem in one["problem"]]
    assert (done.returncode, printed["ok"], len(found)) == (1, False, 1), done.stdout
    assert found[0]["path"] == (path or str(plain.parent))
    assert found[0]["advice"]
    assert found[0]["problem"] in here("check").stdout


@pytest.mark.outside("root, to give a file away")
def test_foreign_owner_is_found(plain: Path) -> None:
    os.chown(plain / "private_key.pem", 12345, -1)
    (found,) = json.loads(keys("check", "--json").stdout)["findings"]
    assert found["problem"] == "it belongs to user 12345"


def test_check_opens_an_encrypted_pair_with_its_password_alone(encrypted: Path, secret: str, new_secret: str) -> None:
    assert keys("check").returncode == keys("check", "--password-file", secret).returncode == 0
    done = keys("check", "--password-file", new_secret)
    assert done.returncode == 1
    assert "wrong password" in done.stdout
    assert "--password-file" in done.stdout
    assert "keys show" not in done.stdout


def test_process_that_holds_keys_is_hardened(plain: Path) -> None:
    program = (
        "from nomyo import _core\nfrom nomyo.cli import main\n"
        "try:\n    main(['keys', 'show'])\nexcept SystemExit:\n    pass\nprint('dumpable', _core.dumpable())"
    )
    assert "dumpable 0" in run_python(program).stdout
