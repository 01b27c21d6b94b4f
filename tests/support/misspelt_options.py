"""Calls that type checkers refuse: an option that there is not, or of another type. Never run.

Each refusal is ignored by a comment. mypy (in `make lint`) and pyright (`test_type_checkers.py`) complain of such a
comment if they do not refuse the call beside it.
"""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

import nomyo
import nomyo.batch
import nomyo.openai
import nomyo.transports


async def misspelt() -> None:
    nomyo.SecureChatCompletion(key_dri=None)  # type: ignore[call-arg]
    nomyo.SyncSecureChatCompletion(key_dri=None)  # type: ignore[call-arg]
    nomyo.SecureCompletionClient(key_dri=None)  # type: ignore[call-arg]
    nomyo.SyncSecureCompletionClient(key_dri=None)  # type: ignore[call-arg]
    nomyo.transports.SecureTransport(key_dri=None)  # type: ignore[call-arg]
    nomyo.transports.AsyncSecureTransport(key_dri=None)  # type: ignore[call-arg]
    nomyo.openai.OpenAI(key_dri=None)  # type: ignore[call-arg]
    nomyo.openai.AsyncOpenAI(key_dri=None)  # type: ignore[call-arg]
    nomyo.batch.run("in.jsonl", "out.jsonl", key_dri=None)  # type: ignore[call-arg]
    await nomyo.batch.run_async("in.jsonl", "out.jsonl", key_dri=None)  # type: ignore[call-arg]


async def of_another_type() -> None:
    nomyo.SecureChatCompletion(debug="yes")  # type: ignore[arg-type]
    nomyo.SyncSecureChatCompletion(debug="yes")  # type: ignore[arg-type]
    nomyo.SecureCompletionClient(debug="yes")  # type: ignore[arg-type]
    nomyo.SyncSecureCompletionClient(debug="yes")  # type: ignore[arg-type]
    nomyo.transports.SecureTransport(debug="yes")  # type: ignore[arg-type]
    nomyo.transports.AsyncSecureTransport(debug="yes")  # type: ignore[arg-type]
    nomyo.openai.OpenAI(debug="yes")  # type: ignore[arg-type]
    nomyo.openai.AsyncOpenAI(debug="yes")  # type: ignore[arg-type]
    nomyo.batch.run("in.jsonl", "out.jsonl", debug="yes")  # type: ignore[arg-type]
    await nomyo.batch.run_async("in.jsonl", "out.jsonl", debug="yes")  # type: ignore[arg-type]


async def well_spelt() -> None:
    nomyo.SecureChatCompletion("https://router", False, "key", "require", key_dir=None, http_client=None)
    nomyo.SecureCompletionClient("https://router", False, "require", key_size=2048, key_dir=None, http_client=None)
    nomyo.transports.SecureTransport("https://router", False, "key", True, security_tier="high", key_dir=None)
    nomyo.openai.OpenAI(api_key="", security_tier="high", key_dir=None, timeout=5.0, organization="o")
    nomyo.batch.run("in.jsonl", "out.jsonl", base_url="https://router", rate=2.0, key_dir=None, timeout=5.0)
