"""Attestation: the outcome of each check, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

AttestationMode: TypeAlias = Literal["ignore", "check", "require"]
MODES: Final = ("ignore", "check", "require")
PolicySource: TypeAlias = str | PathLike[str] | Mapping[str, Any]
"""The path of a TOML file, or a mapping of the same form; see `policy`."""

VERDICTS: Final = ("absent", "invalid", "mismatch", "unpinned", "as-pinned", "endorsed")
"""From the worst to the best."""


class Attestation(dict[str, Any]):
    """The checks of one answer's attestation; a dict for JSON, whose fields read as attributes.

    It is never read from an answer: a router cannot write it.
    """

    __slots__ = ()

    verdict: Literal["absent", "invalid", "mismatch", "unpinned", "as-pinned", "endorsed"]
    """
    - "absent": the router gives no attestation.
    - "invalid": a check failed that needs no policy, or what came does not have the documented form.
    - "mismatch": the values, the key or its certificates are not those of the policy.
    - "unpinned": consistent and made for this request, but there is nothing to compare it with.
    - "as-pinned": the same, and as the policy has it.
    - "endorsed": the same, and certificates lead from the key to one of the policy's roots.
    """
    signature: bool | None
    """The given key signed the quote."""
    quote: bool | None
    """The structure says that a TPM made it (`TPM_GENERATED`), and that it is a quote."""
    fresh: bool | None
    """It has the qualifying data of this request: the first 16 bytes of SHA-256 over the payload ID."""
    key_attributes: bool | None
    """The key says that it is restricted, for signatures, and fixed to its TPM."""
    selection: bool | None
    """The quote is about the PCRs that are given, no more and no less."""
    digest: bool | None
    """Its digest is that of the values that are given."""
    policy: bool | None
    """The values and the key are those of the policy; None if the policy names none."""
    endorsement: bool | None
    """Certificates lead from the key to one of the policy's roots; None without roots or certificates."""
    reasons: list[str]
    """Why checks failed (False) or could not be made (None), each behind the check's name."""
    pcrs: dict[str, dict[str, str]]
    """The values that were given, by bank and index, in lower-case hexadecimal. Of an invalid attestation, they mean
    nothing."""
    key_fingerprint: str | None
    """"SHA256:" and the unpadded base64 of SHA-256 over the key's SPKI DER."""

    if not TYPE_CHECKING:  # type checkers know the fields

        def __getattr__(self, name: str) -> Any:
            """Return a field. Raises AttributeError if there is no such field."""
            try:
                return self[name]
            except KeyError:
                pass
            raise AttributeError(f"an attestation has no field {name!r}", name=name, obj=None)

    def reaches(self, least: str) -> bool:
        """Return whether the verdict is `least` or better."""
        return VERDICTS.index(self.verdict) >= VERDICTS.index(least)

    def __repr__(self) -> str:
        """Show the verdict and the reasons."""
        return f"<Attestation {self.verdict!r} reasons={self.reasons!r}>"

    def copy(self) -> Attestation:
        """Return a shallow copy."""
        return Attestation(self)


CHECKS: Final = ("signature", "quote", "fresh", "key_attributes", "selection", "digest", "policy", "endorsement")
"""The names of the checks, in the order in which they are shown."""


def without_checks(verdict: str, reason: str) -> Attestation:
    """Return an attestation of which nothing could be checked."""
    return Attestation(verdict=verdict, **dict.fromkeys(CHECKS), reasons=[reason], pcrs={}, key_fingerprint=None)


def attestation_in(metadata: object) -> Attestation | None:
    """Return what the client noted in an answer's `_metadata`.

    Returns:
        The attestation; an absent one if the router gives none; None if it was not looked at (`attestation="ignore"`).
    """
    if not isinstance(metadata, dict):
        return without_checks("absent", NOT_GIVEN)
    noted = metadata.get("attestation")
    if isinstance(noted, Attestation):  # the router's JSON cannot hold one
        return noted
    return None if metadata.get("tpm_attestation") is not None else without_checks("absent", NOT_GIVEN)


NOT_GIVEN: Final = "the router gives no attestation"
