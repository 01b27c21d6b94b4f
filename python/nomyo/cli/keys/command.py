"""`nomyo keys`: makes, shows, rotates and checks the key pair of a client."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import typer

from nomyo import _core
from nomyo._files.opening import at_once_without_links
from nomyo._finite_json import ascii_json
from nomyo._terminal_text import visible_line
from nomyo.cli.command_app import (
    FAILED,
    FAILURES,
    command_app,
    exit_code,
    group_manual,
    harden,
    key_sizes,
    manual,
    report,
    report_failure,
    run,
)
from nomyo.cli.key_password import is_encrypted, new_password, password_for
from nomyo.cli.keys.condition import PRIVATE, PUBLIC, Finding, findings
from nomyo.cli.streams import after_work
from nomyo.errors import SecurityError
from nomyo.exchange.key_directory import make_key_directory
from nomyo.exchange.key_file_warnings import warnings_of
from nomyo.exchange.settings import DEFAULT_KEY_DIR, KEY_SIZES, check_password
from nomyo.memory import SecureBuffer

NAME = "nomyo keys"
_FILES: Final = {"DIR/private_key.pem, DIR/public_key.pem": "The key pair; DIR is `client_keys` by default."}
_EXIT_CODES: Final = {
    0: "Done.",
    1: "It failed; the files are as they were, unless it says that it is done all the same.",
    2: "The command cannot be run as asked.",
    130: "Interrupted with Ctrl-C.",
}
app = command_app(
    """Manage the RSA key pair of a client, for which the router seals its answers.

    A pair is two files in one directory: private_key.pem (PKCS#8, mode 0600, encrypted if it has a password) and
    public_key.pem. Whatever replaces them does so at once or not at all. Passwords are asked for on the terminal or
    read from files, never from arguments, and are in locked memory only.
    """,
    group_manual(
        examples={
            "nomyo keys generate": "A pair in ./client_keys, with a password that is asked for:",
            "nomyo keys check || nomyo keys show --json": "Check a pair, and show it if something is wrong:",
            "nomyo keys rotate --help": "More on one of the commands:",
        },
        exit_codes=_EXIT_CODES,
        files=_FILES,
    ),
)
_KeyDir: TypeAlias = Annotated[Path, typer.Option(metavar="DIR", help="The directory of the pair.")]
_PasswordFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(metavar="PATH", help="Holds the pair's password (`-`: stdin); asked for by default."),
]
_OpeningFile: TypeAlias = Annotated[
    Path | None, typer.Option(metavar="PATH", help="Holds the pair's password (`-`: stdin), to open it.")
]
_AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON object, and failures on stderr, too.")]
_ADVICE_UNOPENED: Final = (
    "try the right password with --password-file, or bring back both files from a copy;"
    " else move them away; nomyo keys generate"
)
_DIR: Final = Path(DEFAULT_KEY_DIR)
_DONE: Final = "the files are written all the same: `nomyo keys show` shows them"


def main(arguments: Sequence[str]) -> int:
    """Run the command; leaves with SystemExit, as click does."""
    return run(app, arguments, NAME)


@app.command(
    cls=manual(
        examples={
            "nomyo keys generate": "A pair in ./client_keys, with a password that is asked for:",
            "nomyo keys generate --key-dir /etc/app/keys --no-password": "One that a service opens by itself:",
        },
        exit_codes=_EXIT_CODES,
        files=_FILES,
    )
)
def generate(
    key_dir: _KeyDir = _DIR,
    key_size: Annotated[int, typer.Option(metavar="BITS", help="2048, 3072 or 4096.", autocompletion=key_sizes)] = 4096,
    password_file: _PasswordFile = None,
    no_password: Annotated[bool, typer.Option("--no-password", help="Do not encrypt the private key's file.")] = False,
    as_json: _AsJson = False,
) -> None:
    """Generate a pair if there is none yet. An existing pair is never overwritten."""
    _check_size(key_size)
    _check_one_of(password_file, no_password, "--password-file")
    with _failures(as_json):
        _refuse_overwriting(key_dir)
        with _closing(None if no_password else new_password(NAME, password_file, "--password-file")) as password:
            check_password("the password", password)  # before anything is made for it
            make_key_directory(key_dir)
            key, created, condition, _ = _core.open_key_directory(key_dir, key_size, password)
        if not created:  # by another process, meanwhile
            raise _exists_error(key_dir)
        _warn_of(condition, key_dir)
        facts = {"key_dir": str(key_dir), **_facts_of(key.public_key), "encrypted": not no_password}
        with after_work(_DONE):
            _print(facts, as_json=as_json)


@app.command(
    cls=manual(
        examples={"nomyo keys show --json | jq -r .fingerprint": "The fingerprint, for a program:"},
        exit_codes=_EXIT_CODES,
        files=_FILES,
    )
)
def show(key_dir: _KeyDir = _DIR, password_file: _OpeningFile = None, as_json: _AsJson = False) -> None:
    """Show a pair's fingerprint, size, age and modes.

    It asks for no password. Whether both halves belong together is verified if the private one can be opened: with
    --password-file, or if it has no password.
    """
    with _failures(as_json):
        private_key = key_dir / PRIVATE
        _check_there(key_dir)
        encrypted = is_encrypted(private_key)
        verified = password_file is not None or not encrypted
        if verified:
            with _closing(password_for(NAME, key_dir, password_file)) as password:
                key, condition = _core.load_key_directory(key_dir, password)
            public_key = key.public_key
            _warn_of(condition, key_dir)
        else:
            public_key = _core.PublicKey.from_pem(_read_public(key_dir / PUBLIC))
        status = private_key.lstat()
        facts = {
            "key_dir": str(key_dir),
            **_facts_of(public_key),
            "encrypted": encrypted,
            "verified": verified,
            "written_at": datetime.fromtimestamp(status.st_mtime, UTC).isoformat(timespec="seconds"),
            "directory_mode": _mode(key_dir.lstat()),
            "private_key_mode": _mode(status),
        }
        _print(facts, as_json=as_json)


@app.command(
    cls=manual(
        examples={
            "nomyo keys password": "Ask for the old password, if there is one, and for a new one:",
            "nomyo keys password --password-file old --new-password-file new": "The same for a program:",
        },
        exit_codes=_EXIT_CODES,
        files=_FILES,
    )
)
def password(
    key_dir: _KeyDir = _DIR,
    password_file: _PasswordFile = None,
    new_password_file: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Holds the new password; asked for by default.")
    ] = None,
    no_password: Annotated[bool, typer.Option("--no-password", help="Remove the password.")] = False,
    as_json: _AsJson = False,
) -> None:
    """Set, change or remove the password of a pair. The keys stay the same."""
    _check_one_of(new_password_file, no_password, "--new-password-file")
    with _failures(as_json), _closing(password_for(NAME, key_dir, password_file)) as old:
        key, _ = _core.load_key_directory(key_dir, old)  # before the new password is asked for
        new = None if no_password else new_password(NAME, new_password_file, "--new-password-file")
        with _closing(new):
            condition = _core.replace_key_pair(key_dir, old, new_password=new)
        _warn_of(condition, key_dir)
        facts = {"key_dir": str(key_dir), **_facts_of(key.public_key), "encrypted": not no_password}
        with after_work(_DONE):
            _print(facts, as_json=as_json)


@app.command(
    cls=manual(
        examples={"nomyo keys rotate --password-file secret": "Every so often, from a timer:"},
        exit_codes=_EXIT_CODES,
        files=_FILES,
    )
)
def rotate(
    key_dir: _KeyDir = _DIR,
    key_size: Annotated[
        int | None,
        typer.Option(
            metavar="BITS",
            help="2048, 3072 or 4096; as before by default.",
            show_default=False,
            autocompletion=key_sizes,
        ),
    ] = None,
    password_file: _PasswordFile = None,
    as_json: _AsJson = False,
) -> None:
    """Replace a pair by a new one, under the same password.

    Clients that run go on with the pair that they opened, until they rotate it themselves.
    """
    _check_size(key_size)
    with _failures(as_json), _closing(password_for(NAME, key_dir, password_file)) as opening:
        old, _ = _core.load_key_directory(key_dir, opening)
        new = _core.PrivateKey.generate(key_size or (old.bits if old.bits in KEY_SIZES else max(KEY_SIZES)))
        _warn_of(_core.replace_key_pair(key_dir, opening, key=new, new_password=opening), key_dir)
        facts = {"key_dir": str(key_dir), **_facts_of(new.public_key), "encrypted": opening is not None}
        with after_work(_DONE):
            _print({**facts, "replaced": old.public_key.fingerprint}, as_json=as_json)


@app.command(
    cls=manual(
        examples={"nomyo keys check --key-dir /etc/app/keys || systemctl stop app": "In a script:"},
        exit_codes={**_EXIT_CODES, 0: "Nothing is wrong.", 1: "Something is wrong, or could not be checked."},
        files=_FILES,
    )
)
def check(key_dir: _KeyDir = _DIR, password_file: _OpeningFile = None, as_json: _AsJson = False) -> None:
    """Check who may read or exchange a pair.

    This checks owners, modes, links, leftovers of an interrupted replacement, the directories above, and whether both
    halves belong together. It asks for no password: an encrypted pair is only opened with --password-file.
    """
    with _failures(as_json):
        found = [*findings(key_dir)]
        if password_file is not None or not is_encrypted(key_dir / PRIVATE):
            found += _findings_of_opening(key_dir, password_file, found)
    if as_json:
        print(ascii_json({"key_dir": str(key_dir), "ok": not found, "findings": [asdict(one) for one in found]}))
    else:
        _report_findings(key_dir, found)
    if found:
        raise typer.Exit(FAILED)


def _findings_of_opening(key_dir: Path, password_file: Path | None, found: Sequence[Finding]) -> list[Finding]:
    try:
        with _closing(password_for(NAME, key_dir, password_file)) as password:
            _core.load_key_directory(key_dir, password)
    except (SecurityError, OSError) as error:
        # An earlier finding says already why the pair does not open.
        return [] if found else [Finding(str(key_dir), f"the pair does not open: {error}", _ADVICE_UNOPENED)]
    return []


def _report_findings(key_dir: Path, found: Sequence[Finding]) -> None:
    for one in found:
        print(f"{visible_line(one.path)}: {visible_line(one.problem)}\n  {visible_line(one.advice)}")
    if not found:
        print(f"{visible_line(str(key_dir))}: nothing is wrong")
    if os.path.lexists(key_dir / PRIVATE) and not is_encrypted(key_dir / PRIVATE):
        print("The private key has no password; `nomyo keys password` gives it one.")


def _warn_of(condition: _core.KeyFilesCondition, key_dir: Path) -> None:
    for note in warnings_of(condition, key_dir):
        report(NAME, f"warning: {note}")


@contextmanager
def _failures(as_json: bool) -> Iterator[None]:
    """Report failures of the block, and exit. The process is hardened first, because it is about to hold keys."""
    harden(NAME)
    try:
        yield
    except FAILURES as error:
        report_failure(NAME, error, as_json=as_json)
        raise typer.Exit(exit_code(error)) from None


@contextmanager
def _closing(password: SecureBuffer | None) -> Iterator[SecureBuffer | None]:
    try:
        yield password
    finally:
        if password is not None:
            password.close()


def _check_size(key_size: int | None) -> None:
    if key_size is not None and key_size not in KEY_SIZES:
        raise typer.BadParameter("a key has 2048, 3072 or 4096 bits", param_hint="--key-size")


def _check_one_of(password_file: Path | None, no_password: bool, option: str) -> None:
    if password_file is not None and no_password:
        raise typer.BadParameter(f"give {option} or --no-password, not both")


def _refuse_overwriting(key_dir: Path) -> None:
    if any(os.path.lexists(key_dir / name) for name in (PRIVATE, PUBLIC)):
        raise _exists_error(key_dir)


def _check_there(key_dir: Path) -> None:
    if not os.path.lexists(key_dir):
        words = f"{os.strerror(errno.ENOENT)}; `nomyo keys generate` makes a pair"
        raise FileNotFoundError(errno.ENOENT, words, str(key_dir))


def _exists_error(key_dir: Path) -> SecurityError:
    return SecurityError(f"{key_dir}: has a key in it already, which stays; `nomyo keys rotate` replaces a pair")


def _read_public(path: Path) -> bytes:
    with open(path, "rb", opener=at_once_without_links) as file:
        return file.read(64 * 1024)


def _facts_of(key: _core.PublicKey) -> dict[str, Any]:
    return {"fingerprint": key.fingerprint, "bits": key.bits}


def _mode(status: os.stat_result) -> str:
    return f"{stat.S_IMODE(status.st_mode):04o}"


def _print(facts: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(ascii_json(facts))
        return
    for name, value in facts.items():
        words = {True: "yes", False: "no"}.get(value, value) if isinstance(value, bool) else value
        print(f"{name.replace('_', ' '):17} {visible_line(str(words))}")
