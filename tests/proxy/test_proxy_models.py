"""Names of models: what the proxy lists, and which model it asks the router for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from nomyo import SecureCompletionClient
from nomyo.serve.proxy import ProxyConfig, create_app
from nomyo.serve.proxy.model_names import Alias
from nomyo.serve.router.running import RunningRouter

MODEL = "Qwen/Qwen3-0.6B"


@pytest.fixture
def proxy(router: RunningRouter, key_directory: Path) -> Iterator[TestClient]:
    aliases = ["*=any", "claude-*=claude", f"claude-haiku-*={MODEL}", f"gpt-5={MODEL}", "offered=other"]
    config = ProxyConfig(token=None, models=("offered",), aliases=tuple(map(Alias.parse, aliases)))
    client = SecureCompletionClient(router.url, allow_http=True, key_dir=str(key_directory))
    with TestClient(create_app(config, client), base_url="http://127.0.0.1:8800") as proxy:
        yield proxy


def asked_for(proxy: TestClient, model: str) -> Any:
    """Return the model that the router was asked for; its echo model says which in its answer."""
    messages = [{"role": "user", "content": "hello"}]
    answer = proxy.post("/v1/chat/completions", json={"model": model, "messages": messages})
    assert answer.status_code == 200, answer.text
    return answer.json()["model"]


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("gpt-5", MODEL),
        ("gpt-5-mini", "any"),
        ("claude-opus-4-8", "claude"),
        ("claude-haiku-4-5", MODEL),
        ("claude-haiku", "claude"),
        ("offered", "offered"),
        (MODEL, "any"),
    ],
)
def test_router_is_asked_for_the_model_that_an_alias_means(proxy: TestClient, name: str, model: str) -> None:
    assert asked_for(proxy, name) == model


def test_list_has_models_what_aliases_mean_and_exact_aliases(proxy: TestClient) -> None:
    listed = json.loads(proxy.get("/v1/models").content)
    assert [model["id"] for model in listed["data"]] == ["offered", "any", "claude", MODEL, "other", "gpt-5"]


@pytest.mark.parametrize("name", ["offered", MODEL, "gpt-5", "claude-opus-4-8"])
def test_one_model_is_answered_by_every_name_that_counts(proxy: TestClient, name: str) -> None:
    answer = proxy.get(f"/v1/models/{name}")
    assert (answer.status_code, answer.json()["id"], answer.json()["object"]) == (200, name, "model")
