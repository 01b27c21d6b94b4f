"""A batch keeps to rate headers that are stricter than its limits; wrong and hostile ones change nothing."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nomyo.batch
from nomyo.batch.governor import Governor, Limits
from nomyo.batch.governor.ledger import Ledger
from nomyo.batch.governor.limits import SECOND_NS
from nomyo.batch.governor.rate_headers import LONGEST_RESET_NS, Stated, stated_in
from nomyo.batch.governor.shared_file import SharedFile
from support.batch_scene import EXPECTED, Told, outcomes, runner
from support.faults import FaultyRouter
from support.virtual_time import VirtualClock

NO_RATE = Limits(requests_per_s=0)


def headers(kind: str = "requests", **values: object) -> dict[str, str]:
    return {f"x-ratelimit-{name}-{kind}": str(value) for name, value in values.items()}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1s", 1), ("6m0s", 360), ("20ms", 0.02), ("1m2.5s", 62.5), ("12", 12), ("0.5", 0.5), (" 7s ", 7), ("1h", 3600)],
)
def test_reset_is_a_duration_or_seconds(text: str, seconds: float) -> None:
    assert dict(stated_in(headers(remaining=0, reset=text))) == {
        "requests": Stated(None, 0, int(seconds * SECOND_NS)),
    }


DATE = {"date": "Tue, 01 Dec 2020 12:00:00 GMT"}  # long ago by this machine's clock: the server's counts
AT_NOON = 1606824000


@pytest.mark.parametrize(
    ("said", "stated"),
    [
        pytest.param(headers(limit=14400, remaining=3, reset="2m59.56s"), Stated(14400, 3, 179_560_000_000), id="Groq"),
        pytest.param(
            {f"{name}-minute": text for name, text in headers(limit=30, remaining=2, reset="9.5").items()},
            Stated(30, 2, 9_500_000_000),
            id="Cerebras",
        ),
        pytest.param(
            {
                "anthropic-ratelimit-requests-limit": "50",
                "anthropic-ratelimit-requests-remaining": "4",
                "anthropic-ratelimit-requests-reset": "2020-12-01T12:00:30Z",
            },
            Stated(50, 4, 30 * SECOND_NS),
            id="Anthropic",
        ),
        pytest.param(
            {"x-ratelimit-key-limit-requests": "70", "x-ratelimit-team-limit-requests": "60"},
            Stated(60, None, None),
            id="LiteLLM",
        ),
        pytest.param(
            {"x-ratelimit-limit": "9", "x-ratelimit-remaining": "1", "x-ratelimit-reset": "5"},
            Stated(None, 1, 5 * SECOND_NS),
            id="gateway",
        ),
        pytest.param(
            {"x-ratelimit-remaining": "0", "x-ratelimit-reset": f"{AT_NOON + 7}"},
            Stated(None, 0, 7 * SECOND_NS),
            id="seconds since 1970",
        ),
        pytest.param(
            {"x-ratelimit-remaining": "0", "x-ratelimit-reset": f"{AT_NOON + 7}000"},
            Stated(None, 0, 7 * SECOND_NS),
            id="milliseconds",
        ),
        pytest.param(
            {"ratelimit-remaining": "0", "ratelimit-reset": "5"}, Stated(None, 0, 5 * SECOND_NS), id="draft of the IETF"
        ),
        pytest.param(
            headers(limit=90) | {"anthropic-ratelimit-requests-limit": "8"}, Stated(8, None, None), id="strictest"
        ),
    ],
)
def test_services_spell_their_limits_in_many_ways(said: dict[str, str], stated: Stated) -> None:
    assert dict(stated_in(said | DATE)) == {"requests": stated}


@pytest.mark.parametrize(
    "moment",
    ["2020-12-01T11:59:59Z", "2020-12-01T13:00:01Z", "2020-12-01T25:00:00Z", "2020-12-01T12:00:30", "2020-12-01",
     f"{AT_NOON - 1}", f"{AT_NOON}00000", "9999999999999", "12:00:30"],
)  # fmt: skip
def test_moments_that_passed_or_are_none_or_far_away_are_ignored(moment: str) -> None:
    assert dict(stated_in(headers(remaining=0, reset=moment) | DATE)) == {}


WRONG = ["-1", "nan", "NaN", "inf", "1e3", "many", "", "9" * 11, "9" * 400, "1, 1", "0x10", "1.5", "\u0661"]


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_figures_are_ignored(wrong: str) -> None:
    assert dict(stated_in(headers(limit=wrong))) == {}
    assert dict(stated_in(headers(remaining=wrong, reset="1s"))) == {}


@pytest.mark.parametrize("wrong", ["-1s", "nan", "NaNs", "soon", "", "61m", "999999h", "1700000000", "1d", "s", "1s2"])
def test_wrong_resets_are_ignored(wrong: str) -> None:
    assert dict(stated_in(headers(remaining=0, reset=wrong))) == {}


@given(st.dictionaries(st.sampled_from([*headers(limit=0, remaining=0, reset=0)]), st.text(max_size=30)))
def test_any_text_is_ignored_or_within_bounds(given_headers: dict[str, str]) -> None:
    clock, governor = VirtualClock(), Governor(NO_RATE, clock=VirtualClock())
    governor.heed(given_headers)
    for stated in dict(stated_in(given_headers)).values():
        assert (stated.reset_ns or 0) <= LONGEST_RESET_NS
    ledger = governor._known or Ledger("boot")
    assert Ledger.parse(ledger.dump(), "boot", NO_RATE, clock.now_ns()).advice == ledger.advice


def turns(clock: VirtualClock, governor: Governor, number: int, tokens: int = 0) -> list[float]:
    """Return when so many requests went."""
    went: list[float] = []
    governor._loop = None  # of the turns before

    async def main() -> None:
        for _ in range(number):
            await governor.acquire_tokens(tokens)
            went.append(clock.seconds)

    clock.run(main())
    return went


def test_stricter_limit_slows_requests_and_a_laxer_one_changes_nothing() -> None:
    clock = VirtualClock()
    governor = Governor(Limits(requests_per_s=2), clock=clock)
    governor.heed(headers(limit=6000))
    assert turns(clock, governor, 3) == [0, 0.5, 1]
    governor.heed(headers(limit=30))
    assert turns(clock, governor, 3) == [1.5, 3.5, 5.5]


def test_what_remains_goes_and_the_rest_waits_for_the_reset() -> None:
    clock = VirtualClock()
    governor = Governor(NO_RATE, clock=clock)
    governor.heed(headers(remaining=2, reset="20s"))
    assert turns(clock, governor, 5) == [0, 0, 20, 20, 20]


def test_tokens_that_remain_go_and_the_rest_waits_for_the_reset() -> None:
    clock = VirtualClock()
    governor = Governor(NO_RATE, clock=clock)
    assert not governor.counts_tokens
    governor.heed(headers("tokens", limit=6000, remaining=250, reset="30s"))
    assert governor.counts_tokens
    assert turns(clock, governor, 4, 100) == [0, 1, 30, 31]


def test_limit_that_no_answer_repeats_is_forgotten() -> None:
    clock = VirtualClock()
    governor = Governor(NO_RATE, clock=clock)
    governor.heed(headers(limit=1))
    went = turns(clock, governor, 14)
    assert went[:3] == [0, 60, 120]
    assert went[-1] <= 600
    turns(clock, governor, 300)  # these do not count against a limit that is said anew
    again = clock.seconds
    governor.heed(headers(limit=60))
    assert turns(clock, governor, 3) == [again, again + 1, again + 2]


def test_all_processes_of_a_key_keep_to_what_one_was_told(tmp_path: Path) -> None:
    clock = VirtualClock()
    one, other = (Governor(NO_RATE, SharedFile(tmp_path / "books", "a"), clock) for _ in range(2))
    assert one.heed(headers(remaining=0, reset="20s")) == 20
    assert turns(clock, other, 1) == [20]


def told(router: FaultyRouter, **named: str) -> None:
    router.change = lambda body: body
    router.change_headers = named


def test_batch_keeps_to_headers_that_are_stricter(
    faulty_router: FaultyRouter, source: Path, output: Path, key_directory: Path
) -> None:
    told(faulty_router, **headers(limit=600))
    began = time.monotonic()
    summary = runner(source, output, faulty_router.url, key_directory, concurrency=1)()
    assert summary.failed == 0
    assert time.monotonic() - began >= (len(EXPECTED) - 2) / 10


def test_batch_keeps_to_headers_in_other_spellings(
    faulty_router: FaultyRouter, source: Path, output: Path, key_directory: Path
) -> None:
    told(faulty_router, **{"anthropic-ratelimit-requests-limit": "600"})
    began = time.monotonic()
    assert runner(source, output, faulty_router.url, key_directory, concurrency=1)().failed == 0
    assert time.monotonic() - began >= (len(EXPECTED) - 2) / 10


HOSTILE = [
    headers(limit="-1", remaining="-5", reset="-3s"),
    headers(limit="9" * 30, remaining="0", reset="9" * 30),
    headers(limit="NaN", remaining="NaN", reset="NaN"),
    headers(limit="all", remaining="none", reset="later") | headers("tokens", limit="0", remaining="x", reset="1s"),
    headers(limit="", remaining="0", reset="x" * 5000),
    {"retry-after": "-7"},
    {"retry-after": "NaN"},
    {"retry-after": "never"},
]


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
def test_wrong_or_hostile_headers_are_ignored(
    hostile: dict[str, str], faulty_router: FaultyRouter, source: Path, output: Path, key_directory: Path
) -> None:
    told(faulty_router, **hostile)
    progress = Told()
    began = time.monotonic()
    runner(source, output, faulty_router.url, key_directory, progress=progress)()
    assert time.monotonic() - began < 15
    assert outcomes(output) == EXPECTED
    assert progress.words == []


def test_long_wait_for_a_reset_is_reported(
    faulty_router: FaultyRouter, source: Path, output: Path, key_directory: Path
) -> None:
    told(faulty_router, **headers(remaining=0, reset="10m"))
    progress, stop = Told(), nomyo.batch.Stop()
    progress.tell = lambda words: (progress.words.append(words), stop())[0]  # type: ignore[method-assign,func-returns-value]
    summary: Any = runner(source, output, faulty_router.url, key_directory, concurrency=1)(progress=progress, stop=stop)
    assert summary.left == len(EXPECTED) - 1
    assert progress.words == ["the router's rate headers allow no more requests: waiting for 600 s"]


def test_headers_that_cannot_be_noted_cost_no_answer(
    faulty_router: FaultyRouter, source: Path, output: Path, key_directory: Path
) -> None:
    class Broken:
        async def acquire(self) -> None:
            await asyncio.sleep(0)

        async def note(self, error: Exception) -> float:
            return 0.0

        def heed(self, headers: dict[str, str]) -> float:
            raise RuntimeError

    told(faulty_router, **headers(limit=600))
    runner(source, output, faulty_router.url, key_directory)(governor=Broken())
    assert outcomes(output) == EXPECTED
