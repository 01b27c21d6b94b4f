"""`nomyo trust attest` and `nomyo trust record`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import typer

from nomyo._finite_json import ascii_json
from nomyo._terminal_text import visible_line
from nomyo.attestation import CHECKS, Attestation
from nomyo.attestation.policy import Policy, read_policy
from nomyo.cli.command_app import API_KEY_VARIABLE, BASE_URL_VARIABLE, bad_option, manual
from nomyo.cli.router_options import RouterOptions, check_api_key, takes_router_options
from nomyo.cli.streams import write_stderr
from nomyo.cli.trust.group import AsJson, app, failures
from nomyo.cli.utf8_argument import utf8_argument
from nomyo.errors import AttestationError
from nomyo.exchange.call import SMALL_MODEL

_WORDS: Final = {True: "yes", False: "NO", None: "not checked"}
_CAVEAT: Final = (
    "No verdict proves whose machine it is: anybody can make a key without a certificate, and pass a quote on"
    " (docs/attestation.md)."
)
_PINNED: Final = ("0", "7")
"""PCRs that stay as they are while the machine's firmware and its Secure Boot settings do."""
_ENVIRONMENT: Final = {**API_KEY_VARIABLE, **BASE_URL_VARIABLE}
_Model: TypeAlias = Annotated[str, typer.Option("--model", "-m", metavar="MODEL", help="The model that answers.")]


@app.command(
    cls=manual(
        examples={
            "nomyo trust attest": "What holds of the service's attestation, and why not:",
            "nomyo trust attest --attestation-policy policy.toml && nomyo chat 'Hello'": "Ask only if it is as pinned:",
        },
        exit_codes={
            0: 'The verdict is the policy\'s least or better; without a policy, "unpinned" or better.',
            1: "It is worse, or there was no answer.",
            2: "The command cannot be run as asked.",
            130: "Interrupted with Ctrl-C.",
        },
        environment=_ENVIRONMENT,
    )
)
@takes_router_options
def attest(*, router: RouterOptions, model: _Model = SMALL_MODEL, as_json: AsJson = False) -> None:
    """Ask for the attestation of the router's TPM, by a request for one token, and show each check.

    With --attestation require, a verdict that is worse than the policy's least is an error.
    """
    policy = _policy(router)
    with failures(as_json):
        found = _attested(router, model)
        facts = {"least": policy.least, "accepted": found.reaches(policy.least)}
        if as_json:
            print(ascii_json({**found, **facts}))
        else:
            for line in _lines(found, policy):
                print(visible_line(line))
            write_stderr(_CAVEAT)
    raise typer.Exit(0 if facts["accepted"] else 1)


@app.command(
    cls=manual(
        examples={
            "nomyo trust record policy.toml": "PCR 0 and 7, as they are now:",
            "nomyo trust record policy.toml --pcr sha256:7": "Secure Boot alone:",
        },
        exit_codes={
            0: "The policy was written.",
            1: "It was not: the attestation is absent or invalid, or the file exists.",
            2: "The command cannot be run as asked.",
            130: "Interrupted with Ctrl-C.",
        },
        environment=_ENVIRONMENT,
        files={"PATH": "The policy that is written; never one that is there already."},
    )
)
@takes_router_options
def record(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The TOML file to write.")],
    *,
    router: RouterOptions,
    pcr: Annotated[
        list[str] | None,
        typer.Option(metavar="BANK:PCR", help="A PCR to pin; repeatable. By default 0 and 7 of each bank."),
    ] = None,
    model: _Model = SMALL_MODEL,
    as_json: AsJson = False,
) -> None:
    """Write a policy from what the router's TPM says now.

    It pins what is seen, and does not know whether that is right: compare it with what the operator says. Values of an
    update are added by hand.
    """
    _policy(router)
    with failures(as_json):
        found = _attested(router, model)
        if not found.reaches("mismatch"):
            words = f"the attestation is {found.verdict!r}: {'; '.join(found.reasons)}"
            raise AttestationError(words, attestation=found)
        pinned = _chosen(found, pcr)
        with path.open("x", encoding="ascii") as file:
            file.write(_toml(pinned))
        if as_json:
            print(ascii_json({"policy": str(path), "pcrs": pinned}))
            return
        print(visible_line(f"{path} pins {', '.join(_names(pinned))}"))
        write_stderr(_CAVEAT)


def _policy(router: RouterOptions) -> Policy:
    try:
        return read_policy(router.attestation_policy)
    except ValueError as error:
        raise bad_option(error, {"attestation_policy": "--attestation-policy"}) from None


def _attested(router: RouterOptions, model: str) -> Attestation:
    from nomyo.client import SyncSecureCompletionClient  # not at the top: help needs no HTTP library

    check_api_key()
    with SyncSecureCompletionClient(**router.of_client()) as client:
        return client.attest(model=utf8_argument("the model's name", model))


def _lines(found: Attestation, policy: Policy) -> Iterator[str]:
    reasons = dict(reason.partition(": ")[::2] for reason in found.reasons)
    yield f"{'verdict':16}{found.verdict} (at least {policy.least} is asked for)"
    if not found.key_fingerprint and not found.pcrs:
        yield from (f"{'why':16}{reason}" for reason in found.reasons)
        return
    for name in CHECKS:
        why = reasons.get(name, "")
        yield f"{name:16}{_WORDS[found[name]]:13}{why}".rstrip()
    yield f"{'key':16}{found.key_fingerprint or 'none'}"
    for bank, values in found.pcrs.items():
        for index, value in values.items():
            yield f"{f'{bank}:{index}':16}{value}"


def _chosen(found: Attestation, pcr: list[str] | None) -> dict[str, dict[str, list[str]]]:
    """Return the PCRs to pin, each with its present value.

    Raises:
        ValueError: One is not given; or none of those that are pinned by default is.
    """
    wanted = pcr or [f"{bank}:{index}" for bank, values in found.pcrs.items() for index in _PINNED if index in values]
    if not wanted:
        raise ValueError("the router gives neither PCR 0 nor 7: name others by --pcr")
    pinned: dict[str, dict[str, list[str]]] = {}
    for each in wanted:
        bank, _, index = each.partition(":")
        value = found.pcrs.get(bank, {}).get(index)
        if value is None:
            raise ValueError(f"the router gives no PCR {each}: it gives {', '.join(_names(found.pcrs))}")
        pinned.setdefault(bank, {})[index] = [value]
    return pinned


def _names(pcrs: Any) -> Iterator[str]:
    return (f"{bank}:{index}" for bank, values in pcrs.items() for index in values)


def _toml(pinned: dict[str, dict[str, list[str]]]) -> str:
    lines = ['least = "as-pinned"']
    for bank, values in pinned.items():
        lines += ["", f"[pcrs.{bank}]", *(f'{index} = ["{value}"]' for index, [value] in values.items())]
    return "\n".join([*lines, ""])
