"""A key directory that a client makes, and one that it cannot make."""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path
from typing import Any

import pytest

import nomyo
from nomyo import cli
from nomyo.cli.command_app import failure_text
from nomyo.cli.keys.condition import findings
from nomyo.exchange.key_files import KeyFiles
from nomyo.exchange.new_keys import NewKeys
from nomyo.exchange.settings import Settings
from nomyo.serve.router.running import RunningRouter
from support.twins import Twin

PAIR = ["private_key.pem", "public_key.pem"]
AWAY = "https://127.0.0.1:9"


def open_pair(directory: Path) -> Any:
    return KeyFiles(Settings(key_dir=directory, key_size=2048)).open().private_key


def generate_pair(directory: Path) -> None:
    KeyFiles(Settings(key_dir=None)).generate(NewKeys(2048, str(directory), None))


def rotate_pair(directory: Path) -> None:
    files = KeyFiles(Settings(key_dir=None, key_rotation_dir=directory, key_size=2048))
    files.rotate(files.open().private_key.public_key)


WAYS = {"open": open_pair, "generate": generate_pair, "rotate": rotate_pair}


@pytest.mark.parametrize("way", WAYS)
def test_directory_that_is_made_keeps_itself_out_of_git(way: str, tmp_path: Path) -> None:
    made = tmp_path / "above" / "keys"
    WAYS[way](made)
    assert sorted(os.listdir(made)) == [".gitignore", *PAIR]
    assert (made / ".gitignore").read_text() == "*\n"
    assert [each.stat().st_mode & 0o777 for each in (made, made.parent)] == [0o700, 0o700]
    assert [each for each in findings(made) if Path(each.path).is_relative_to(made)] == []


@pytest.mark.parametrize("way", WAYS)
def test_directory_that_was_there_gets_keys_alone(way: str, tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir(0o700)
    WAYS[way](tmp_path / "keys")
    assert sorted(os.listdir(tmp_path / "keys")) == PAIR


def test_gitignore_that_was_removed_stays_away(tmp_path: Path) -> None:
    first = open_pair(tmp_path / "keys")
    (tmp_path / "keys" / ".gitignore").unlink()
    assert open_pair(tmp_path / "keys").public_key == first.public_key
    assert sorted(os.listdir(tmp_path / "keys")) == PAIR


@pytest.mark.parametrize("way", ["open", "generate"])
def test_log_says_that_a_pair_was_made_and_where(way: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(1 if way == "generate" else 2):
        WAYS[way](tmp_path / "new\nkeys")
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", f"a key pair was made in {tmp_path}/new keys")
    ]


@pytest.mark.parametrize(("place", "reason"), [("file/keys", "Not a directory"), ("n" * 300, "File name too long")])
def test_directory_that_cannot_be_made_is_told_by_its_option(
    place: str, reason: str, twin: Twin, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    words = rf"key_dir cannot be used: {reason}: '{tmp_path}/{place}'$"
    client = twin.client(AWAY, key_dir=place)
    for method, options in (
        (client.wait_for_keys, {}),
        (client.generate_keys, {"save_to_file": True, "key_dir": place}),
    ):
        with pytest.raises(OSError, match=words) as raised:
            twin.call(method, **options)
        assert raised.value.__context__ is None


@pytest.mark.parametrize(
    "words", [["batch", "in.jsonl", "-o", "out.jsonl"], ["chat", "--model", "m", "hello"]], ids=" ".join
)
def test_command_tells_it_by_the_option_as_it_is_typed(
    words: list[str], router: RunningRouter, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    Path("in.jsonl").write_text('{"model": "m", "messages": []}\n')
    with pytest.raises(SystemExit) as left:
        cli.main([*words, "--base-url", router.url, "--allow-http", "--key-dir", "file/keys"])
    assert left.value.code == 1
    assert f"{tmp_path}/file/keys: --key-dir cannot be used: Not a directory\n" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["key_dir", "key_rotation_dir"])
def test_command_names_no_option_of_the_library(name: str) -> None:
    of_library = f"{name} cannot be used: Permission denied; key_dir=None keeps the key pair"
    error = PermissionError(errno.EACCES, of_library, "k")
    words = "k: --key-dir cannot be used: Permission denied; a command without --key-dir keeps the key pair"
    assert failure_text(error) == words


def test_rotation_that_cannot_write_is_told_by_its_option(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="key_rotation_dir cannot be used: Not a directory"):
        rotate_pair(tmp_path / "file" / "keys")


def test_file_in_place_of_the_directory_is_refused(twin: Twin, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(nomyo.SecurityError, match="/file: is not a directory"):
        twin.call(twin.client(AWAY, key_dir="file").wait_for_keys)
