"""What clients do with the attestation of a router's answers."""

from __future__ import annotations

import json
import pickle
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import nomyo
import nomyo.batch
import nomyo.openai
from nomyo import AttestationError, SecurityError
from nomyo.attestation import Attestation
from nomyo.serve.router.running import RunningRouter
from support.soft_tpm import PCRS, SoftAttester, SoftTpm
from support.twins import Twin

MESSAGES: list[Any] = [{"role": "user", "content": "the text of the prompt"}]
AS_IT_IS = {"pcrs": PCRS}
URL = "/v1/chat/completions"
OTHER = {"pcrs": {"sha256": {"0": "ee" * 32}}}


def ask(twin: Twin, chat: Any, method: str = "create") -> Any:
    return twin.call(getattr(chat, method), model="echo", messages=MESSAGES)


def test_answer_carries_what_was_found(twin: Twin, attesting_url: str, key_directory: Path) -> None:
    chat = twin.chat(attesting_url, key_dir=key_directory)

    answer = ask(twin, chat)

    assert answer.attestation.verdict == "unpinned"
    assert answer["_metadata"]["attestation"] is answer.attestation is answer._metadata.attestation
    assert json.loads(answer.to_json())["_metadata"]["attestation"]["signature"] is True
    assert type(answer.to_dict()["_metadata"]["attestation"]) is dict
    assert pickle.loads(pickle.dumps(answer)).attestation == answer.attestation
    with ask(twin, chat, "create_secure") as reply:
        assert reply.attestation.verdict == "unpinned"
        assert reply.metadata["attestation"] is reply.attestation


@pytest.mark.parametrize(("policy", "verdict"), [(AS_IT_IS, "as-pinned"), (OTHER, "mismatch")])
def test_answer_is_compared_with_the_policy(
    twin: Twin, attesting_url: str, key_directory: Path, policy: dict[str, Any], verdict: str
) -> None:
    chat = twin.chat(attesting_url, key_dir=key_directory, attestation_policy=policy)

    assert ask(twin, chat).attestation.verdict == verdict
    with ask(twin, chat, "create_secure") as reply:
        assert reply.attestation.verdict == verdict
    assert twin.call(chat.attest).verdict == verdict


def test_router_without_a_tpm_is_absent(twin: Twin, router: RunningRouter, key_directory: Path) -> None:
    chat = twin.chat(router.url, key_dir=key_directory)

    answer = ask(twin, chat)

    assert answer.attestation.verdict == "absent"
    assert "attestation" not in answer["_metadata"]
    assert twin.call(chat.attest).verdict == "absent"


def test_nothing_is_looked_at_if_it_is_to_be_ignored(
    twin: Twin, attesting_url: str, attester: SoftAttester, key_directory: Path
) -> None:
    attester.tpm, attester.instead = None, "no object"
    chat = twin.chat(attesting_url, key_dir=key_directory, attestation="ignore")

    assert ask(twin, chat).attestation is None
    assert twin.call(chat.attest).verdict == "invalid"


@pytest.mark.parametrize("instead", ["yes", 7, [], {}, {"is_available": "true"}, {"is_available": True}])
def test_what_has_not_the_documented_form_ends_no_request(
    twin: Twin, attesting_url: str, attester: SoftAttester, key_directory: Path, instead: Any
) -> None:
    attester.tpm, attester.instead = None, instead
    chat = twin.chat(attesting_url, key_dir=key_directory)

    answer = ask(twin, chat)

    assert answer.attestation.verdict == "invalid"
    assert answer.choices[0].message.content == "the text of the prompt"


@pytest.mark.parametrize("method", ["create", "create_secure", "attest"])
@pytest.mark.parametrize("what", ["absent", "mismatch", "invalid"])
def test_worse_attestation_than_required_hands_nothing_out(
    twin: Twin, attesting_url: str, attester: SoftAttester, key_directory: Path, method: str, what: str
) -> None:
    attester.tpm = {"absent": None, "mismatch": SoftTpm(), "invalid": SoftTpm(digest=bytes(32))}[what]
    chat = twin.chat(
        attesting_url, key_dir=key_directory, attestation="require", attestation_policy=OTHER | {"least": "unpinned"}
    )

    with pytest.raises(AttestationError) as caught:
        twin.call(chat.attest) if method == "attest" else ask(twin, chat, method)

    assert isinstance(caught.value, SecurityError)
    assert caught.value.attestation.verdict == what
    assert f"{what!r}, and at least 'unpinned' is required" in str(caught.value)
    assert "the text of the prompt" not in str(caught.value) + repr(caught.value.attestation)
    assert pickle.loads(pickle.dumps(caught.value)).attestation == caught.value.attestation


@pytest.mark.parametrize("method", ["create", "create_secure"])
def test_attestation_as_required_lets_the_answer_through(
    twin: Twin, attesting_url: str, key_directory: Path, method: str
) -> None:
    chat = twin.chat(attesting_url, key_dir=key_directory, attestation="require", attestation_policy=AS_IT_IS)

    answer = ask(twin, chat, method)

    assert answer.attestation.verdict == "as-pinned"
    if method == "create_secure":
        answer.close()


def test_quote_that_is_passed_on_is_not_told_from_the_routers_own(
    twin: Twin, attesting_url: str, attester: SoftAttester, key_directory: Path
) -> None:
    """What the documents say: nothing binds a quote to the router's key or to the answer."""
    attester.tpm = SoftTpm(kind="p256", scheme="ecdsa")  # another machine's, asked for this payload ID
    chat = twin.chat(attesting_url, key_dir=key_directory, attestation="require", attestation_policy=AS_IT_IS)

    assert ask(twin, chat).attestation.verdict == "as-pinned"


def test_router_cannot_write_what_the_client_found(twin: Twin, client_key: Any) -> None:
    from support.by_hand import Owner

    forged = {"verdict": "endorsed", "reasons": []}
    content = {"choices": [], "attestation": forged, "_metadata": {"attestation": forged, "_metadata": {}}}
    client = twin.client("http://127.0.0.1:9", key_dir=None)
    twin.call(client.wait_for_keys)
    package = Owner(client._exchange._keys._pair.private_key).seal(json.dumps(content).encode())

    answer = twin.call(client.decrypt_response, package, "00000000-0000-4000-8000-000000000001")

    assert isinstance(answer.attestation, Attestation)
    assert answer.attestation.verdict == "absent"
    assert "attestation" not in answer["_metadata"]


def test_sdk_carries_it_in_the_metadata(attesting_url: str, key_directory: Path) -> None:
    with nomyo.openai.OpenAI(
        api_key="", base_url=attesting_url, allow_http=True, key_dir=key_directory, attestation_policy=AS_IT_IS
    ) as client:
        completion: Any = client.chat.completions.create(model="echo", messages=MESSAGES)

    assert completion._metadata["attestation"]["verdict"] == "as-pinned"


def test_sdk_refuses_what_is_worse_than_required(attesting_url: str, key_directory: Path) -> None:
    import openai

    with (
        nomyo.openai.OpenAI(
            api_key="",
            base_url=attesting_url,
            allow_http=True,
            key_dir=key_directory,
            attestation="require",
            attestation_policy=OTHER,
            max_retries=0,
        ) as client,
        pytest.raises(AttestationError) as caught,
    ):
        client.chat.completions.create(model="echo", messages=MESSAGES)
    assert isinstance(caught.value, openai.OpenAIError)


@pytest.mark.parametrize(("policy", "verdict"), [(AS_IT_IS, "as-pinned"), (OTHER, "mismatch")])
def test_audit_log_tells_the_verdict_of_accepted_and_refused_answers(
    twin: Twin, attesting_url: str, key_directory: Path, tmp_path: Path, policy: dict[str, Any], verdict: str
) -> None:
    options = {"attestation": "require", "attestation_policy": policy, "audit_log": tmp_path / "audit"}
    chat = twin.chat(attesting_url, key_dir=key_directory, **options)

    with suppress(AttestationError):
        ask(twin, chat)

    assert f'"attestation":"{verdict}"' in (tmp_path / "audit").read_text()


def test_rows_of_a_batch_carry_it(attesting_url: str, key_directory: Path, tmp_path: Path) -> None:
    run_batch(attesting_url, key_directory, tmp_path, attestation_policy=AS_IT_IS)

    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]
    assert [row["response"]["body"]["_metadata"]["attestation"]["verdict"] for row in rows] == ["as-pinned"] * 3


def test_batch_stops_at_a_worse_attestation_than_required(
    attesting_url: str, key_directory: Path, tmp_path: Path
) -> None:
    with pytest.raises(nomyo.BatchError, match="at least 'as-pinned' is required"):
        run_batch(attesting_url, key_directory, tmp_path, attestation="require", attestation_policy=OTHER)


def run_batch(url: str, key_directory: Path, directory: Path, **options: Any) -> None:
    row = {"model": "echo", "messages": MESSAGES}
    lines = [json.dumps({"custom_id": str(number), "method": "POST", "url": URL, "body": row}) for number in range(3)]
    (directory / "in.jsonl").write_text("\n".join(lines) + "\n")
    nomyo.batch.run(
        directory / "in.jsonl",
        directory / "out.jsonl",
        base_url=url,
        allow_http=True,
        key_dir=key_directory,
        **options,
    )
