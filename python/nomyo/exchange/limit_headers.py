"""Headers in which services state their limits. All spellings become OpenAI's.

- OpenAI, Groq, Azure, LiteLLM: `x-ratelimit-limit-requests`, `-remaining-requests`, `-reset-requests`, and the same of
  `tokens` (OpenAI's documentation, "Rate limits", "Rate limits in headers").
- Cerebras: the same with `-minute` at the end.
- Anthropic: `anthropic-ratelimit-requests-limit` and so on (Anthropic's API reference, "Rate limits", "Response
  headers"). Separate limits of input and output tokens are not read: `tokens` states the strictest.
- LiteLLM, of the limits of a key, a user or a team: `x-ratelimit-key-limit-requests` and so on.
- Gateways in front of vLLM and others, of requests: `x-ratelimit-remaining` and `-reset`, and `ratelimit-remaining` and
  `-reset` (drafts of draft-ietf-httpapi-ratelimit-headers). Their limit is not read: its period is unknown.

A reset that is a moment (RFC 3339; seconds or milliseconds since 1970) counts from the answer's own `Date`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from .retries import now_s

DATE: Final = "date"
FIGURES: Final = ("limit", "remaining", "reset")
KINDS: Final = ("requests", "tokens")
_OF_LITELLM: Final = ("api_key", "key", "model_per_key", "user", "end_user", "team", "team_member", "organization")
_MOMENT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,18}(?:Z|[+-][0-9]{2}:[0-9]{2})")
_SINCE_1970: Final = re.compile(r"[0-9]{10}(?:[0-9]{3})?(?:\.[0-9]{1,9})?")
_WINDOWS: Final[dict[str, tuple[Callable[[str, str], str], ...]]] = {
    kind: (
        lambda figure, kind: f"x-ratelimit-{figure}-{kind}",
        lambda figure, kind: f"x-ratelimit-{figure}-{kind}-minute",
        lambda figure, kind: f"anthropic-ratelimit-{kind}-{figure}",
        *((lambda figure, _: f"x-ratelimit-{figure}", lambda figure, _: f"ratelimit-{figure}")
          if kind == "requests" else ()),
    )
    for kind in KINDS
}  # fmt: skip
"""How a service may spell the figures of a window."""
_LIMITS: Final = {
    kind: (*(spell("limit", kind) for spell in _WINDOWS[kind][:3]),
           *(f"x-ratelimit-{of}-limit-{kind}" for of in _OF_LITELLM))
    for kind in KINDS
}  # fmt: skip
NAMES: Final = frozenset(
    name
    for kind in KINDS
    for name in (*_LIMITS[kind], *(spell(each, kind) for spell in _WINDOWS[kind] for each in FIGURES[1:]))
)
"""The headers that are read, in lower case."""


def as_of_openai(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the limits that headers state, under OpenAI's names.

    Of several limits, the strictest is returned, and of several windows the first that has a remainder and its reset. A
    reset that is a moment becomes the seconds until then; one that has passed is left out.

    Args:
        headers: The headers of an answer, with its `date`, by names in lower case. Others are left out.
    """
    found: dict[str, str] = {}
    for kind in KINDS:
        limits = [text for name in _LIMITS[kind] if (text := headers.get(name, "").strip()).isdecimal()]
        if limits:
            found[f"x-ratelimit-limit-{kind}"] = min(limits, key=lambda text: (len(text.lstrip("0")), text.lstrip("0")))
        for spell in _WINDOWS[kind]:
            remaining = headers.get(spell("remaining", kind))
            reset = _reset(headers.get(spell("reset", kind)), headers.get(DATE))
            if remaining and reset:
                found |= {f"x-ratelimit-remaining-{kind}": remaining, f"x-ratelimit-reset-{kind}": reset}
                break
    return found


def _reset(text: str | None, date: str | None) -> str | None:
    """Return a reset as a duration, as it stands there or as seconds from now."""
    moment_s = _moment_s((text or "").strip())
    if moment_s is None:
        return text
    seconds = moment_s - now_s(date)
    return f"{seconds:.3f}" if seconds > 0 else None


def _moment_s(text: str) -> float | None:
    if _SINCE_1970.fullmatch(text):
        moment_s = float(text)
        return moment_s if len(text.partition(".")[0]) == 10 else moment_s / 1000
    if not _MOMENT.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return None
