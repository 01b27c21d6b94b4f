"""A setting of this machine that stands in the way is told at once, and as what it is."""

from __future__ import annotations

import copy
import pickle

import nomyo


def test_configuration_error_says_that_nothing_was_sent_and_survives_a_pickle() -> None:
    error = nomyo.ConfigurationError("ALL_PROXY names a proxy that cannot be used")
    for same in (error, copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert isinstance(same, nomyo.APIConnectionError)
        assert (str(same), same.sent, same.timed_out) == (str(error), False, False)
