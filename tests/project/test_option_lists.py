"""Where a client's options are listed: the lists agree, in names, defaults and types, and what is given arrives."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import anthropic
import httpx
import openai
import pytest
import typer

import nomyo
import nomyo.anthropic
import nomyo.batch
import nomyo.openai
from nomyo.batch.client_options import BatchOptions, as_of_client
from nomyo.cli import proxy as proxy_command
from nomyo.cli.batch import command as batch_command
from nomyo.cli.chat import command as chat_command
from nomyo.cli.launch import command as launch_command
from nomyo.cli.router_options import RouterOptions
from nomyo.exchange.settings import ClientOptions, Settings
from nomyo.transports import AsyncSecureTransport, SecureTransport

DEFAULTS = {each.name: each.default for each in fields(Settings) if each.init}
NAMED = {
    "base_url",
    "allow_http",
    "api_key",
    "secure_memory",
    "timeout",
    "max_retries",
    "key_size",
    "http_client",
}
# Secrets, which `ps` would show; what some commands have under a name of their own; and what only programs need.
NOT_FOR_ALL_COMMANDS = {
    "api_key",
    "debug",
    "http_client",
    "key_rotation_interval",
    "key_rotation_password",
    "key_size",
    "max_connections",
    "max_retries",
    "server_key_ttl",
}
PATIENT = {"timeout": 600.0}
OF_SDK = {"base_url": None, "timeout": openai.NOT_GIVEN}
OF_ANTHROPIC = {"base_url": None, "timeout": anthropic.NOT_GIVEN}
OF_BATCH = {**PATIENT, "max_connections": 32}


def shown(made: Callable[..., Any]) -> dict[str, Any]:
    """Return the options that `help()` shows, with their defaults."""
    parameters = inspect.signature(made).parameters.values()
    named = {"base_url" if each.name == "router_url" else each.name: each.default for each in parameters}
    return {name: default for name, default in named.items() if name in DEFAULTS}


@pytest.mark.parametrize(
    ("made", "without", "other_defaults"),
    [
        (nomyo.SecureChatCompletion, {"key_size"}, {}),
        (nomyo.SyncSecureChatCompletion, {"key_size"}, {}),
        (nomyo.SecureCompletionClient, set(), {}),
        (nomyo.SyncSecureCompletionClient, set(), {}),
        (SecureTransport, {"key_size", "max_retries"}, PATIENT),
        (AsyncSecureTransport, {"key_size", "max_retries"}, PATIENT),
        (nomyo.openai.OpenAI, {"key_size"}, OF_SDK),
        (nomyo.openai.AsyncOpenAI, {"key_size"}, OF_SDK),
        (nomyo.anthropic.Anthropic, {"key_size"}, OF_ANTHROPIC),
        (nomyo.anthropic.AsyncAnthropic, {"key_size"}, OF_ANTHROPIC),
        (nomyo.batch.run, set(), OF_BATCH),
        (nomyo.batch.run_async, set(), OF_BATCH),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_signature_shows_all_options_and_their_defaults(
    made: Callable[..., Any], without: set[str], other_defaults: dict[str, Any]
) -> None:
    of_settings = {name: default for name, default in DEFAULTS.items() if name not in without}

    assert shown(made) == {**of_settings, **other_defaults}


def test_types_are_those_of_the_client_that_writes_them_out() -> None:
    written_out = {
        name: each.annotation for name, each in inspect.signature(nomyo.SecureChatCompletion).parameters.items()
    }
    typed = {name: kind.__forward_arg__ for name, kind in ClientOptions.__annotations__.items()}
    of_settings = {each.name: each.type for each in fields(Settings)}

    assert typed == {name: written_out[name] for name in typed} == {name: of_settings[name] for name in typed}


def test_options_that_only_some_take_are_named_by_each() -> None:
    assert ClientOptions.__annotations__.keys() == DEFAULTS.keys() - NAMED
    assert BatchOptions.__annotations__.keys() == DEFAULTS.keys() - {"max_retries"}


def test_batch_has_as_many_connections_as_requests_at_once() -> None:
    assert inspect.signature(nomyo.batch.run).parameters["concurrency"].default == OF_BATCH["max_connections"]


@pytest.mark.parametrize(
    ("made", "module", "of_sdk"),
    [
        (nomyo.openai.OpenAI, nomyo.openai, openai.OpenAI),
        (nomyo.anthropic.Anthropic, nomyo.anthropic, anthropic.Anthropic),
    ],
)
def test_options_of_the_sdk_are_those_that_it_has(made: type, module: Any, of_sdk: type) -> None:
    theirs = inspect.signature(of_sdk).parameters
    ours = {*inspect.signature(made).parameters, *module._Options.__annotations__}

    assert {name for name in theirs if name != "_token_cache"} <= ours | set(module._NOT_OFFERED)
    assert inspect.signature(made).parameters["max_retries"].default == theirs["max_retries"].default


@pytest.fixture
def given(key_directory: Path, tmp_path: Path) -> dict[str, Any]:
    """Return a value for each option that is not its default; not for `http_client`, which is of two kinds."""
    values: dict[str, Any] = {
        "base_url": "https://127.0.0.1:9",
        "allow_http": True,
        "api_key": "a-key",
        "secure_memory": False,
        "timeout": 5.0,
        "debug": True,
        "max_retries": 0,
        "key_size": 2048,
        "key_dir": str(key_directory),
        "key_rotation_interval": 0.0,
        "key_rotation_dir": str(tmp_path / "rotated"),
        "key_rotation_password": "password",
        "server_key_ttl": 1.0,
        "server_key_fingerprint": "SHA256:" + "A" * 43,
        "known_routers": str(tmp_path / "known_routers"),
        "attestation": "require",
        "attestation_policy": {"keys": ["SHA256:" + "A" * 43]},
        "max_connections": 3,
        "pad_requests": True,
        "audit_log": str(tmp_path / "audit"),
        "audit_model": True,
    }
    assert values.keys() == DEFAULTS.keys() - {"http_client"}
    assert all(value != DEFAULTS[name] for name, value in values.items())
    return values


@pytest.mark.parametrize(
    ("made", "settings_of"),
    [
        (nomyo.SyncSecureChatCompletion, lambda made: made._client.settings),
        (nomyo.SyncSecureCompletionClient, lambda made: made.settings),
        (SecureTransport, lambda made: made._client.settings),
        (nomyo.openai.OpenAI, lambda made: made._client._transport._client.settings),
        (nomyo.anthropic.Anthropic, lambda made: made._client._transport.transport._client.settings),
    ],
    ids=lambda value: value.__name__,
)
def test_every_option_that_is_given_arrives(
    made: Callable[..., Any], settings_of: Callable[[Any], Settings], given: dict[str, Any]
) -> None:
    names = inspect.signature(made).parameters
    of_sdk = {"timeout", "max_retries"} if made in (nomyo.openai.OpenAI, nomyo.anthropic.Anthropic) else set()
    with httpx.Client() as http_client:
        values = {**given, "http_client": http_client}
        taken = {name: value for name, value in values.items() if name in shown(made)}
        client = made(
            **{"router_url" if name == "base_url" and name not in names else name: taken[name] for name in taken}
        )
        try:
            settings = settings_of(client)
            for name in taken.keys() - of_sdk:
                assert getattr(settings, name) == taken[name], name
        finally:
            client.close()


def test_every_option_of_a_batch_arrives(given: dict[str, Any]) -> None:
    options = {name: value for name, value in given.items() if name in BatchOptions.__annotations__}
    client = nomyo.SecureCompletionClient(**as_of_client(options))
    try:
        for name, value in options.items():
            assert getattr(client.settings, name) == value, name
    finally:
        client.dispose()


@pytest.mark.parametrize(
    "made", [nomyo.SecureCompletionClient, SecureTransport, nomyo.openai.OpenAI, nomyo.anthropic.Anthropic]
)
def test_option_that_there_is_not_is_named(made: type) -> None:
    with pytest.raises(TypeError, match=rf"^{made.__name__}.__init__\(\) got an unexpected keyword argument 'timout'"):
        made(api_key="", key_dir=None, timout=5)


def test_option_that_was_meant_is_named_too() -> None:
    with pytest.raises(TypeError, match=r"'timout'\. Did you mean 'timeout'\?$"):
        nomyo.SecureCompletionClient(timout=5)  # type: ignore[call-arg]


def test_commands_take_what_makes_sense_there() -> None:
    taken = {"base_url" if name == "router_url" else name for name in RouterOptions().of_client()}

    assert taken == DEFAULTS.keys() - NOT_FOR_ALL_COMMANDS


@pytest.mark.parametrize("command", [chat_command, batch_command, proxy_command, launch_command])
def test_command_that_speaks_to_a_router_has_its_options(command: ModuleType) -> None:
    parameters = typer.main.get_command(command.app).params

    assert {each.name for each in fields(RouterOptions)} <= {each.name for each in parameters}
