"""`nomyo trust list`, `show`, `accept`, `add` and `forget`."""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeAlias

import typer

from nomyo._finite_json import ascii_json
from nomyo._terminal_text import visible_line
from nomyo.cli.command_app import manual
from nomyo.cli.streams import after_work
from nomyo.cli.trust.group import (
    ENVIRONMENT,
    EXIT_CODES,
    FILES,
    AsJson,
    KnownRoutersPath,
    RouterUrl,
    app,
    failures,
    opened,
)
from nomyo.trust.key_file import Dated, Known
from nomyo.trust.router_name import router_name

_DONE: Final = "it is done all the same: `nomyo trust show` shows it"
_Fingerprint: TypeAlias = Annotated[str, typer.Argument(metavar="FINGERPRINT", help="SHA256:...")]
_ChosenFingerprint: TypeAlias = Annotated[
    str | None, typer.Argument(metavar="FINGERPRINT", help="The key; by default, the one that was refused last.")
]


@app.command(
    "list",
    cls=manual(
        examples={"nomyo trust list --json | jq -r '.routers[].router'": "Their names, for a program:"},
        exit_codes=EXIT_CODES,
        environment=ENVIRONMENT,
        files=FILES,
    ),
)
def list_routers(known_routers: KnownRoutersPath = None, as_json: AsJson = False) -> None:
    """List the routers that are known, each with its key and since when it is known."""
    with failures(as_json):
        routers = opened(known_routers)
        facts = [_facts(name, known) for name, known in sorted(routers.all().items())]
        if as_json:
            print(ascii_json({"known_routers": str(routers.path), "routers": facts}))
            return
        for each in facts:
            key = each["key"] or {"fingerprint": "no key yet", "since": "-", "judged": "-"}
            line = f"{each['router']}  {key['fingerprint']}  {key['since']}  {key['judged']}"
            print(visible_line(line + ("  another key was refused" if each["refused"] else "")))
        if not facts:
            print(visible_line(f"no router is known in {routers.path}"))


@app.command(
    cls=manual(
        examples={"nomyo trust show https://api.nomyo.ai": "What is known of one router:"},
        exit_codes=EXIT_CODES,
        environment=ENVIRONMENT,
        files=FILES,
    )
)
def show(url: RouterUrl, known_routers: KnownRoutersPath = None, as_json: AsJson = False) -> None:
    """Show what is known of one router: its key, the keys that are expected, and the one that was refused last."""
    with failures(as_json):
        router = router_name(url)
        _print(_facts(router, opened(known_routers).of(router)), as_json=as_json)


@app.command(
    cls=manual(
        examples={
            "nomyo trust accept https://api.nomyo.ai": "The key that was refused last:",
            'nomyo trust accept https://api.nomyo.ai "$NEW"': "This one and no other:",
        },
        exit_codes=EXIT_CODES,
        environment=ENVIRONMENT,
        files=FILES,
    )
)
def accept(
    url: RouterUrl,
    fingerprint: _ChosenFingerprint = None,
    known_routers: KnownRoutersPath = None,
    as_json: AsJson = False,
) -> None:
    """Have a router known by another key from now on.

    Ask its operator for the fingerprint first. Clients and batches that were refused go on with the same command.
    """
    with failures(as_json):
        router = router_name(url)
        before, after = opened(known_routers).accept(router, fingerprint)
        replaced = None if before.key is None else before.key.fingerprint
        with after_work(_DONE):
            _print({**_facts(router, after), "replaced": replaced}, as_json=as_json)


@app.command(
    cls=manual(
        examples={'nomyo trust add https://api.nomyo.ai "$NEXT"': "A key that the operator announced:"},
        exit_codes=EXIT_CODES,
        environment=ENVIRONMENT,
        files=FILES,
    )
)
def add(
    url: RouterUrl, fingerprint: _Fingerprint, known_routers: KnownRoutersPath = None, as_json: AsJson = False
) -> None:
    """Expect a key that a router will show later.

    Once it shows it, the key replaces the one before. A router that is not known yet must show an added key.
    """
    with failures(as_json):
        router = router_name(url)
        known = opened(known_routers).add(router, fingerprint)
        with after_work(_DONE):
            _print(_facts(router, known), as_json=as_json)


@app.command(
    cls=manual(
        examples={"nomyo trust forget https://old.example": "A router that is gone:"},
        exit_codes=EXIT_CODES,
        environment=ENVIRONMENT,
        files=FILES,
    )
)
def forget(url: RouterUrl, known_routers: KnownRoutersPath = None, as_json: AsJson = False) -> None:
    """Forget a router: the next key that it shows is its first again. The key log keeps its records."""
    with failures(as_json):
        router = router_name(url)
        known = opened(known_routers).forget(router)
        with after_work("it is forgotten all the same"):
            _print({"forgotten": True, **_facts(router, known)}, as_json=as_json)


def _facts(router: str, known: Known) -> dict[str, Any]:
    return {
        "router": router,
        "key": _dated(known.key),
        "added": [_dated(each) for each in known.added],
        "refused": _dated(known.refused),
    }


def _dated(key: Dated | None) -> dict[str, str] | None:
    if key is None:
        return None
    return {"fingerprint": key.fingerprint, "since": key.since, "judged": str(key.judged)}


def _print(facts: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(ascii_json(facts))
        return
    for name, value in facts.items():
        for each in value if isinstance(value, list) else [value]:
            if each is not None:
                print(visible_line(f"{name:9} {_words(each)}"))


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return f"{value['fingerprint']}  since {value['since']}  {value['judged']}"
    return "yes" if value is True else str(value)
