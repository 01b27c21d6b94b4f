"""Judges the attestation of an answer.

Rules:

- The verdict is the worst that a check allows. What could not be checked never counts as passed.
- An attestation that is wrong in any way ends in a verdict, never in another exception.
- A router writes none of it: what it puts into `_metadata.attestation` is removed.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from typing import Any, Final

from .. import _core
from ..errors import AttestationError
from .found import NOT_GIVEN, Attestation, AttestationMode, attestation_in, without_checks
from .policy import NO_POLICY, Policy
from .statement import MalformedStatementError, Statement, read_statement

QUALIFYING_DATA_BYTES: Final = 16
_CAVEAT: Final = "no verdict proves whose machine it is (docs/attestation.md)"


def qualifying_data(payload_id: str) -> bytes:
    """Return what a quote for this request must contain."""
    digest = hashlib.sha256(payload_id.encode("utf-8", "backslashreplace")).digest()
    return digest[:QUALIFYING_DATA_BYTES]


class Required:
    """Judges one answer before anything of its content is handed out, and refuses it if it is worse than required."""

    __slots__ = ("_payload_id", "_policy", "found")

    def __init__(self, payload_id: str, policy: Policy) -> None:
        self._payload_id = payload_id
        self._policy = policy
        self.found: Attestation | None = None

    def __call__(self, metadata: object) -> None:
        """Judge an answer by its `_metadata`.

        Raises:
            AttestationError: The verdict is worse than the policy's least.
        """
        given = metadata.get("tpm_attestation") if isinstance(metadata, Mapping) else None
        self.found = judge(given, self._payload_id, self._policy)
        if not self.found.reaches(self._policy.least):
            raise AttestationError(_words(self.found, self._policy.least), attestation=self.found)


class Judge:
    """Judges answers for one client.

    Args:
        mode: "ignore", "check" or "require".
        policy: What is compared with.
    """

    def __init__(self, mode: AttestationMode, policy: Policy = NO_POLICY) -> None:
        self._mode = mode
        self._policy = policy

    def required(self, payload_id: str) -> Required | None:
        """Return what an answer has to pass before its content is handed out; None if nothing is required."""
        return Required(payload_id, self._policy) if self._mode == "require" else None

    def note(self, metadata: dict[str, Any], payload_id: str, required: Required | None) -> None:
        """Put the attestation of an answer into its `_metadata`, if the router gives one."""
        metadata.pop("attestation", None)
        given = metadata.get("tpm_attestation")
        if given is None or self._mode == "ignore":
            return
        found = judge(given, payload_id, self._policy) if required is None else required.found
        metadata["attestation"] = found

    def of(self, metadata: dict[str, Any]) -> Attestation:
        """Return what was noted of an answer; under "ignore", judge it now."""
        found = attestation_in(metadata)
        return judge(metadata.get("tpm_attestation"), metadata["payload_id"], self._policy) if found is None else found


def _words(found: Attestation, least: str) -> str:
    why = "; ".join(found.reasons) or "the policy asks for more"
    return f"the router's attestation is {found.verdict!r}, and at least {least!r} is required: {why}; {_CAVEAT}"


def judge(given: object, payload_id: str, policy: Policy = NO_POLICY) -> Attestation:
    """Judge a router's `tpm_attestation`.

    Args:
        given: As it came; None if it is missing.
        payload_id: That of the request.
        policy: What is compared with.
    """
    if given is None:
        return without_checks("absent", NOT_GIVEN)
    if not isinstance(given, Mapping):
        return without_checks("invalid", "tpm_attestation is no object")
    available = given.get("is_available")
    if available is False:
        return without_checks("absent", "the router says that it has no TPM (is_available is false)")
    if available is not True:
        return without_checks("invalid", "is_available is neither true nor false")
    try:
        statement = read_statement(given)
    except MalformedStatementError as error:
        return without_checks("invalid", str(error))
    return _judged(statement, payload_id, policy)


def _judged(statement: Statement, payload_id: str, policy: Policy) -> Attestation:
    pcrs = [
        (bank, int(index), bytes.fromhex(value))
        for bank, values in statement.pcrs.items()
        for index, value in values.items()
    ]
    findings, fingerprint = _core.examine_quote(
        statement.quote, statement.signature, statement.public, qualifying_data(payload_id), pcrs
    )
    consistent = all(held for held, _ in findings.values())
    findings["policy"] = _by_policy(statement, fingerprint, policy)
    findings["endorsement"] = _endorsement(statement, policy)
    return Attestation(
        verdict=_verdict(consistent, findings["policy"][0], findings["endorsement"][0]),
        **{name: held for name, (held, _) in findings.items()},
        reasons=[f"{name}: {reason}" for name, (held, reason) in findings.items() if not held],
        pcrs=statement.pcrs,
        key_fingerprint=fingerprint,
    )


def _verdict(consistent: bool, policy: bool | None, endorsement: bool | None) -> str:
    if not consistent:
        return "invalid"
    if policy is False or endorsement is False:
        return "mismatch"
    if endorsement:
        return "endorsed"
    return "as-pinned" if policy else "unpinned"


def _by_policy(statement: Statement, fingerprint: str | None, policy: Policy) -> tuple[bool | None, str]:
    if not policy.pcrs and not policy.keys:
        return None, "there is no policy that names values or keys"
    if policy.keys and fingerprint not in policy.keys:
        return False, "the key is none of the policy's"
    for (bank, index), accepted in policy.pcrs.items():
        value = statement.pcrs.get(bank, {}).get(str(index))
        if value is None:
            return False, f"PCR {index} of {bank}, which the policy names, is not given"
        if value not in accepted:
            return False, f"PCR {index} of {bank} is none of the policy's values"
    return True, ""


def _endorsement(statement: Statement, policy: Policy) -> tuple[bool | None, str]:
    if not policy.roots:
        return None, "there is no policy that names roots"
    if not statement.certificates:
        return None, "no certificate vouches for the key: anybody can make one"
    chain = list(statement.certificates)
    return _core.examine_endorsement(statement.public, chain, list(policy.roots), int(time.time()))
