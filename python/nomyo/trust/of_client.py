"""Makes the judge of keys and the recorder that a client's options ask for. Clients without them import neither."""

from __future__ import annotations

from nomyo._late_imports import late_import
from nomyo.exchange.key_judge import KeyJudge
from nomyo.exchange.recorder import Recorder
from nomyo.exchange.settings import Settings


def trust_of(settings: Settings) -> tuple[KeyJudge | None, Recorder | None]:
    """Return what judges the keys that the router shows, and what keeps evidence of each call.

    Args:
        settings: The client's; `known_routers` and `audit_log` count.
    """
    if settings.known_routers is None and settings.audit_log is None:
        return None, None

    def load() -> None:
        from nomyo.trust import auditor, judge  # noqa: F401

    late_import("nomyo.trust", load)
    from nomyo.trust.auditor import auditor_of
    from nomyo.trust.judge import judge_of

    return judge_of(settings), auditor_of(settings)
