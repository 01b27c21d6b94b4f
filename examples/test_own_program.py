"""Tests of a program of yours, against a router in the same process: `pytest test_own_program.py`.

Needs the extra `serve`, and pytest. The router answers by repeating what it is told. No account, no network.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nomyo import ForbiddenError, SyncSecureChatCompletion
from nomyo.serve.router import RouterConfig, RunningRouter

pytestmark = pytest.mark.filterwarnings("ignore:the router is spoken to over plain HTTP")


def summarise(client: SyncSecureChatCompletion, text: str, model: str = "any") -> str:
    """Stand for the function of your program that is tested."""
    messages = [{"role": "system", "content": "Summarise."}, {"role": "user", "content": text}]
    return client.create(model=model, messages=messages, security_tier="high").choices[0].message.content or ""


@pytest.fixture(scope="module")
def router() -> Iterator[RunningRouter]:
    config = RouterConfig(key_bits=2048, tier_models={"high": frozenset({"any"})})  # smaller keys are made faster
    with RunningRouter(config) as running:
        yield running


@pytest.fixture(scope="module")
def client(router: RunningRouter) -> Iterator[SyncSecureChatCompletion]:
    with SyncSecureChatCompletion(router.url, allow_http=True, api_key="", key_dir=None) as made:
        yield made


def test_summary_is_the_models_answer(client: SyncSecureChatCompletion) -> None:
    assert summarise(client, "a long report") == "a long report"


def test_model_that_the_tier_does_not_allow_is_told(client: SyncSecureChatCompletion) -> None:
    with pytest.raises(ForbiddenError):
        summarise(client, "a long report", model="another")
