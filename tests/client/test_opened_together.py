"""Answers that wait together, and are opened together by one thread."""

from __future__ import annotations

import asyncio
from operator import methodcaller
from typing import Any

import pytest

import nomyo
from nomyo import _core
from nomyo.exchange.effects import Compute, Together
from support.crypto_threads import crypto_threads, run_behind_one_that_is_held

ANSWER = {"id": "a", "choices": []}


def opening(package: bytes, key: _core.PrivateKey, **more: Any) -> Compute:
    def call() -> Any:
        return _core.open_package(package, key)

    return Compute(call, Together(package, key, methodcaller("read")), **more)


@pytest.fixture
def key(client_key: _core.PrivateKey) -> _core.PrivateKey:
    return client_key


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many packages were opened together, each time."""
    sizes: list[int] = []
    together = _core.open_together

    def noted(packages: list[tuple[bytes, _core.PrivateKey]]) -> Any:
        sizes.append(len(packages))
        return together(packages)

    monkeypatch.setattr(_core, "open_together", noted)
    return sizes


def test_small_answers_that_wait_are_opened_together(key: _core.PrivateKey, groups: list[int]) -> None:
    packages = [_core.seal({**ANSWER, "id": str(number)}, key.public_key) for number in range(6)]
    with crypto_threads(1) as threads:
        outcomes = run_behind_one_that_is_held(threads, *(opening(package, key) for package in packages))
    assert [outcome[0]["id"] for outcome in outcomes] == list("012345")
    assert groups == [4, 2]


def test_answers_of_which_something_is_kept_are_opened_by_more_at_a_time(
    key: _core.PrivateKey, groups: list[int]
) -> None:
    """What they leave is kept at once, and keeping takes longer than what one of them leaves."""
    package = _core.seal(ANSWER, key.public_key)
    with crypto_threads(1) as threads:
        outcomes = run_behind_one_that_is_held(threads, *(opening(package, key, keep=list) for _ in range(10)))
    assert [outcome[0]["id"] for outcome in outcomes] == ["a"] * 10
    assert groups == [8, 2]


def test_answer_that_waits_alone_is_opened_alone(key: _core.PrivateKey, groups: list[int]) -> None:
    with crypto_threads(1) as threads:
        outcome = asyncio.run(threads.do(opening(_core.seal(ANSWER, key.public_key), key)))
    assert outcome[0] == ANSWER
    assert groups == []


def test_large_answers_and_other_work_stay_alone_and_in_order(key: _core.PrivateKey, groups: list[int]) -> None:
    small, large = (_core.seal({"a": "x" * size}, key.public_key) for size in (10, 20_000))
    with crypto_threads(1) as threads:
        works = [opening(small, key), opening(small, key), Compute(lambda: "other"), opening(large, key)]
        outcomes = run_behind_one_that_is_held(threads, *works, opening(large, key))
    assert [outcome if outcome == "other" else len(outcome[0]["a"]) for outcome in outcomes] == [
        10,
        10,
        "other",
        20_000,
        20_000,
    ]
    assert groups == [2]


def test_answer_that_cannot_be_opened_fails_alone_in_its_group(key: _core.PrivateKey, groups: list[int]) -> None:
    wiped = _core.PrivateKey.generate(2048)
    for_wiped = opening(_core.seal(ANSWER, wiped.public_key), wiped)
    wiped.wipe()
    good = _core.seal(ANSWER, key.public_key)
    not_json = _core.seal_bytes(b"[]", key.public_key, b"x")
    with crypto_threads(1) as threads:
        works = [opening(good, key), opening(good[:-9], key), for_wiped, opening(good, key), opening(not_json, key)]
        outcomes = run_behind_one_that_is_held(threads, *works)
    assert groups == [4]
    assert [type(outcome) for outcome in outcomes] == [
        tuple,
        nomyo.SecurityError,
        nomyo.DisposedError,
        tuple,
        nomyo.SecurityError,
    ]


def test_outcomes_of_a_group_are_finished_one_by_one_and_kept_at_once(key: _core.PrivateKey) -> None:
    package = _core.seal(ANSWER, key.public_key)
    kept: list[int] = []

    def finish(value: Any) -> str:
        return f"finished {value[0]['id']}"

    def keep(values: list[Any]) -> list[Any]:
        kept.append(len(values))
        return ["kept " + value for value in values]

    more = {"finish": finish, "keep": keep}
    with crypto_threads(1) as threads:
        works = [opening(package, key, **more), opening(package[:-9], key, **more), opening(package, key, **more)]
        outcomes = run_behind_one_that_is_held(threads, *works)
    assert kept == [2]
    assert (outcomes[0], outcomes[2]) == ("kept finished a", "kept finished a")
    assert isinstance(outcomes[1], nomyo.SecurityError)


def test_failure_to_keep_a_group_is_the_outcome_of_each(key: _core.PrivateKey) -> None:
    def keep(_: list[Any]) -> list[Any]:
        raise OSError("no room")

    package = _core.seal(ANSWER, key.public_key)
    with crypto_threads(1) as threads:
        works = [opening(package, key, keep=keep), opening(package, key, keep=keep), opening(package, key)]
        outcomes = run_behind_one_that_is_held(threads, *works)
        assert [type(outcome) for outcome in outcomes] == [OSError, OSError, tuple]
        assert asyncio.run(threads.do(Compute(lambda: "goes on"))) == "goes on"


def test_failure_to_open_a_group_is_the_outcome_of_each(key: _core.PrivateKey, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise AttributeError("a core of another version")

    monkeypatch.setattr(_core, "open_together", fail)
    package = _core.seal(ANSWER, key.public_key)
    with crypto_threads(1) as threads:
        outcomes = run_behind_one_that_is_held(threads, opening(package, key), opening(package, key))
        assert [type(outcome) for outcome in outcomes] == [AttributeError, AttributeError]
        assert asyncio.run(threads.do(Compute(lambda: "goes on"))) == "goes on"
