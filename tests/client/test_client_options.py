"""A client's options: the documented defaults, what is refused when it is made, and what they are relative to."""

from __future__ import annotations

import inspect
import logging
import math
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

import nomyo
from nomyo import _core
from nomyo.serve.router.running import RunningRouter
from support.faults import FaultyRouter
from support.twins import Twin
from support.waiting import until

HELLO = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
ID = "8c8e4a5e-52a5-4a3c-8ab6-0b1c9fa5d2c4"
PASSWORD_OF_8 = "eightchr"
DEFAULTS: dict[str, Any] = {
    "base_url": "https://api.nomyo.ai",
    "allow_http": False,
    "api_key": None,
    "secure_memory": True,
    "timeout": 60.0,
    "debug": False,
    "max_retries": 2,
    "key_dir": "client_keys",
    "key_rotation_interval": 86_400.0,
    "key_rotation_dir": "client_keys",
    "key_rotation_password": None,
    "server_key_ttl": 300.0,
    "server_key_fingerprint": None,
    "known_routers": None,
    "attestation": "check",
    "attestation_policy": None,
    "max_connections": 100,
    "pad_requests": False,
    "audit_log": None,
    "audit_model": False,
    "http_client": None,
}
POSITIONAL = {
    "chat": ["base_url", "allow_http", "api_key", "secure_memory"],
    "client": ["router_url", "allow_http", "secure_memory"],
}
GENERATE_DEFAULTS = {"key_size": None, "save_to_file": False, "key_dir": "client_keys", "password": None}


class TestDefaults:
    def test_signatures_are_the_documented_ones(self, twin: Twin) -> None:
        of_client = {"router_url" if name == "base_url" else name: value for name, value in DEFAULTS.items()}
        for kind, made, expected in [
            ("chat", twin.chat_class, DEFAULTS),
            ("client", twin.client_class, {**of_client, "key_size": 4096}),
        ]:
            parameters = {n: p for n, p in inspect.signature(made.__init__).parameters.items() if n != "self"}
            assert {name: parameter.default for name, parameter in parameters.items()} == expected
            positional = [n for n, p in parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
            assert positional == POSITIONAL[kind]

    def test_options_of_generated_keys_are_the_documented_ones(self, twin: Twin) -> None:
        parameters = inspect.signature(twin.client_class.generate_keys).parameters.values()

        assert {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY} == GENERATE_DEFAULTS

    def test_client_without_options_has_them(self, twin: Twin, key_directory: Path, tmp_path: Path) -> None:
        shutil.copytree(key_directory, "client_keys")
        directory = str(tmp_path / "client_keys")
        expected = {**DEFAULTS, "api_key": "", "key_dir": directory, "key_rotation_dir": directory, "key_size": 4096}
        chat, client = twin.chat_class(), twin.client_class()
        try:
            for settings in (chat._client.settings, client.settings):
                assert {name: getattr(settings, name) for name in expected} == expected
        finally:
            chat.dispose()
            client.dispose()


class TestRefused:
    @pytest.mark.parametrize("key_size", [4096.0, 2048.0, True, "4096", 3073, math.nan, None])
    def test_key_size_that_is_none_of_the_three(self, twin: Twin, key_size: Any) -> None:
        with pytest.raises(ValueError, match="key_size must be 2048, 3072 or 4096"):
            twin.client("https://127.0.0.1:9", key_size=key_size)
        client = twin.client("https://127.0.0.1:9")
        if key_size is not None:
            with pytest.raises(ValueError, match="key_size must be 2048, 3072 or 4096"):
                twin.call(client.generate_keys, key_size=key_size)

    @pytest.mark.parametrize("path", [5, 1.5, True, b"keys", [], "", "a\0b"])
    def test_path_that_is_none(self, twin: Twin, path: Any) -> None:
        refused = pytest.raises(ValueError if isinstance(path, str) else TypeError, match="key_")
        for option in ("key_dir", "key_rotation_dir"):
            for make in (twin.chat, twin.client):
                with refused:
                    make("https://127.0.0.1:9", **{option: path})
        client = twin.client("https://127.0.0.1:9")
        for arguments in ({"key_dir": path}, {"key_dir": path, "save_to_file": True}):
            with refused:
                twin.call(client.generate_keys, **arguments)
        with refused:
            twin.call(client.load_keys, path)
        with refused:
            twin.call(client.load_keys, "private_key.pem", path)

    @pytest.mark.parametrize(
        ("option", "values"),
        [
            ("timeout", [True, math.nan, math.inf, -1, 0, "1", None]),
            ("key_rotation_interval", [True, math.nan, math.inf, -1, "1", None]),
            ("server_key_ttl", [False, math.nan, math.inf, -1, "1", None]),
            ("max_retries", [True, 1.0, math.nan, -1, "1", None]),
            ("max_connections", [True, 1.0, 0, -1, "1", None]),
            ("secure_memory", [1, 0, 1.0, "yes", None]),
            ("allow_http", [1, "yes", None]),
            ("debug", [1, "yes", None]),
        ],
    )
    def test_number_or_switch_of_another_type_or_out_of_range(self, twin: Twin, option: str, values: list[Any]) -> None:
        for value in values:
            with pytest.raises((TypeError, ValueError), match=option):
                twin.client("https://127.0.0.1:9", **{option: value})

    @pytest.mark.parametrize("value", [1, "yes"])
    def test_save_to_file_that_is_no_bool(self, twin: Twin, value: Any) -> None:
        client = twin.client("https://127.0.0.1:9")

        with pytest.raises(TypeError, match="save_to_file must be a bool"):
            twin.call(client.generate_keys, save_to_file=value)

    @pytest.mark.parametrize("password", ["seven77", "ü" * 7, "", 12345678, b"12345678", "sevenss\ud800"])
    def test_password_of_fewer_than_8_characters_or_another_type(
        self, twin: Twin, password: Any, tmp_path: Path
    ) -> None:
        refused = pytest.raises(TypeError if isinstance(password, (int, bytes)) else ValueError, match="password")
        with refused:
            twin.client("https://127.0.0.1:9", key_rotation_password=password)
        client = twin.client("https://127.0.0.1:9")
        with refused:
            twin.call(client.generate_keys, save_to_file=True, key_dir=tmp_path / "k", password=password)

        assert not (tmp_path / "k").exists()

    def test_locked_password_is_counted_in_characters(self, twin: Twin) -> None:
        with (
            nomyo.SecureBuffer("üüüü".encode()) as password,
            pytest.raises(ValueError, match="at least 8 characters"),
        ):
            twin.client("https://127.0.0.1:9", key_rotation_password=password)

    @pytest.mark.parametrize("password", [PASSWORD_OF_8, "ü" * 8])
    def test_password_of_exactly_8_characters_is_enough(
        self, twin: Twin, router: RunningRouter, tmp_path: Path, password: str
    ) -> None:
        maker = twin.client("https://127.0.0.1:9")
        twin.call(maker.generate_keys, save_to_file=True, key_dir=tmp_path / "k", password=password)
        with nomyo.SecureBuffer(password.encode()) as locked:
            for given in (password, locked):
                client = twin.client(router.url, key_dir=tmp_path / "k", key_rotation_password=given)
                assert twin.call(client.send_secure_request, HELLO, ID).choices


class TestGenerateOptions:
    @pytest.mark.parametrize(
        "options",
        [
            {"keySize": 2048, "saveToFile": True, "keyDir": "made", "password": PASSWORD_OF_8},
            {"key_size": 2048, "save_to_file": True, "key_dir": "made", "password": PASSWORD_OF_8},
        ],
    )
    def test_object_of_options_is_taken_under_either_name(self, twin: Twin, options: dict[str, Any]) -> None:
        client = twin.client("https://127.0.0.1:9", key_size=4096)

        twin.call(client.generate_keys, options)

        key, _ = _core.load_key_directory("made", PASSWORD_OF_8)
        assert key.bits == 2048

    def test_keywords_take_precedence_and_none_is_the_default(self, twin: Twin) -> None:
        client = twin.client("https://127.0.0.1:9")

        options = {"keySize": None, "saveToFile": True, "keyDir": "elsewhere", "password": None}
        twin.call(client.generate_keys, options, key_dir="made")

        assert _core.load_key_directory("made")[0].bits == 2048
        assert not Path("elsewhere").exists()

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"keysize": 2048}, "no option 'keysize'"),
            ({"keySize": 2048, "key_size": 4096}, "key_size is given twice"),
            ([("keySize", 2048)], "must be a mapping"),
            ({"saveToFile": "yes"}, "save_to_file must be a bool"),
            ({"keyDir": 5}, "key_dir must be a path"),
        ],
    )
    def test_what_is_no_option_is_refused_by_name(self, twin: Twin, options: Any, words: str) -> None:
        client = twin.client("https://127.0.0.1:9")

        with pytest.raises(TypeError, match=words):
            twin.call(client.generate_keys, options)

        assert os.listdir() == []


class TestWorkingDirectory:
    def test_relative_directories_are_those_of_when_the_client_was_made(
        self, twin: Twin, faulty_router: FaultyRouter, key_directory: Path, tmp_path: Path
    ) -> None:
        shutil.copytree(key_directory, tmp_path / "keys")
        (tmp_path / "elsewhere").mkdir()
        client = twin.client(faulty_router.url, key_dir="keys", key_rotation_dir="rotated")

        os.chdir(tmp_path / "elsewhere")
        twin.call(client.send_secure_request, HELLO, ID)
        client._exchange._keys.rotate()
        twin.call(client.generate_keys, save_to_file=True)

        assert os.listdir() == []
        assert sorted(os.listdir(tmp_path)) == ["client_keys", "elsewhere", "keys", "rotated"]

    def test_default_directories_are_too(self, twin: Twin, key_directory: Path, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir()
        shutil.copytree(key_directory, "client_keys")
        chat = twin.chat_class("https://127.0.0.1:9", key_rotation_interval=0.2)

        os.chdir(tmp_path / "elsewhere")
        try:
            before = (key_directory / "public_key.pem").read_bytes()
            until(lambda: (tmp_path / "client_keys" / "public_key.pem").read_bytes() != before)
        finally:
            chat.dispose()

        assert os.listdir() == []

    def test_path_of_a_call_is_one_of_when_it_is_called(self, twin: Twin, key_directory: Path, tmp_path: Path) -> None:
        client = twin.client("https://127.0.0.1:9")
        (tmp_path / "now").mkdir()
        os.chdir(tmp_path / "now")

        shutil.copytree(key_directory, "keys")
        twin.call(client.load_keys, "keys/private_key.pem", "keys/public_key.pem")
        twin.call(client.generate_keys, save_to_file=True, key_dir="made")

        assert sorted(os.listdir(tmp_path / "now")) == ["keys", "made"]

    def test_working_directory_that_is_gone_is_an_error_for_relative_ones_alone(
        self, twin: Twin, key_directory: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "gone").mkdir()
        os.chdir(tmp_path / "gone")
        (tmp_path / "gone").rmdir()
        try:
            with pytest.raises(FileNotFoundError, match="give key_dir as an absolute path"):
                twin.client("https://127.0.0.1:9", key_dir="keys")
            for options in ({"key_dir": None}, {"key_dir": key_directory, "key_rotation_dir": key_directory}):
                client = twin.client("https://127.0.0.1:9", **options)
                twin.call(client.wait_for_keys)
        finally:
            os.chdir(tmp_path)


class TestDebug:
    def test_one_client_s_log_is_no_other_s(
        self, twin: Twin, faulty_router: FaultyRouter, key_directory: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        loud = twin.chat(faulty_router.url, key_dir=key_directory, debug=True)
        quiet = twin.chat(faulty_router.url, key_dir=key_directory)
        twin.call(quiet.create, HELLO)
        twin.call(loud._client.wait_for_keys)
        before = capfd.readouterr().err

        twin.call(quiet.create, HELLO)
        after_the_quiet = capfd.readouterr().err
        twin.call(loud.create, HELLO)

        assert "HTTP 200" not in before
        assert after_the_quiet == ""
        assert "HTTP 200" in capfd.readouterr().err

    def test_program_s_own_log_is_left_as_it_is(self, twin: Twin, key_directory: Path) -> None:
        twin.chat("https://127.0.0.1:9", key_dir=key_directory, debug=True)

        assert logging.getLogger("nomyo").level == logging.NOTSET
        assert logging.getLogger("nomyo").handlers == []

    def test_program_may_log_every_client_s_steps(
        self, twin: Twin, faulty_router: FaultyRouter, key_directory: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.DEBUG, "nomyo"):
            twin.call(twin.chat(faulty_router.url, key_dir=key_directory).create, HELLO)

        assert "HTTP 200" in caplog.text
