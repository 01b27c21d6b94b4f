"""A fault within the package: its place is told, its words are not."""

from __future__ import annotations

import logging
import re

import pytest

from nomyo import BatchError
from nomyo.batch.internal_errors import no_caller_fault


def _deep() -> None:
    int("secret words")


def test_frames_of_a_fault_are_logged_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.DEBUG, "nomyo.batch"),
        pytest.raises(BatchError, match=r"a fault within nomyo, .*: ValueError in internal_errors\.py, line") as raised,
        no_caller_fault(),
    ):
        _deep()
    (record,) = caplog.records
    assert record.levelno == logging.DEBUG
    places = r"ValueError at internal_errors\.py:\d+, test_faults_within\.py:24, test_faults_within\.py:15"
    assert re.fullmatch(places, record.getMessage())
    assert record.exc_info is None
    assert "secret" not in caplog.text + str(raised.value)
    assert raised.value.__context__ is None, "the fault itself has the words"
    assert raised.value.__cause__ is None


def test_frames_of_a_fault_are_not_logged_unasked(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(BatchError), no_caller_fault():
        _deep()
    assert caplog.records == []
