"""The measurement of `make constant-time` itself."""

from __future__ import annotations

from support.constant_time import MOST_T, authorizations, largest_t


def test_kinds_of_which_all_the_fastest_are_one_are_told_apart() -> None:
    assert largest_t((list(range(100, 150)), list(range(1000, 1050)))) > MOST_T


def test_kinds_with_the_same_times_are_not_told_apart() -> None:
    assert largest_t((list(range(100)), list(range(100)))) < MOST_T


def test_every_token_lies_at_an_address_of_its_own() -> None:
    headers = authorizations([0, 1] * 20)
    assert len(set(headers)) == 2
    assert len(set(map(id, headers))) == len(headers)
