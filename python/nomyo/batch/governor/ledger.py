"""The state that all processes with one API key share: the paces, the pause, and the line of waiting processes; no I/O.

Each process has one place in line, for the first of its own waiting requests. So processes take turns, and a process
that dies leaves one place behind. Each place says when its process will check again. A process that is overdue is
passed over, and keeps its place for a while in case it was only slow. Without a limit there is no line, only the pause.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final

from nomyo.exchange.limit_headers import KINDS

from .limits import MAX_PAUSE_S, SECOND_NS, Limits
from .pace import Burst, Pace
from .pauses import MAX_CREDIT, MAX_STRIKES, Pause
from .rate_headers import LONGEST_RESET_NS, Advice
from .token_pace import LONGEST_DEBT_NS, Charge, TokenPace

RECHECK_NS: Final = 10 * SECOND_NS
"""No process in line sleeps for longer than this without checking the ledger again."""
TOKEN_RECHECK_NS: Final = SECOND_NS // 4
"""The same for a process that waits for tokens: each answer may give some back."""
OVERDUE_NS: Final = SECOND_NS // 4
FORGOTTEN_NS: Final = 60 * SECOND_NS
_MIN_WAIT_NS: Final = SECOND_NS // 1000
_MAX_PLACES: Final = 256
_MAX_BYTES: Final = 1 << 20
_MAX_COUNT: Final = 2**63 - 1
"""The largest figure that is accepted: the kernel's clock has no later moment."""


@dataclass(slots=True)
class Place:
    """A place in line."""

    ticket: str
    due_ns: int
    """When its process will check again."""
    tokens: int = 0
    """What its request is expected to take."""


@dataclass(slots=True)
class Ledger:
    """The books of one API key at one service, during one boot of one machine."""

    boot: str
    pace: Pace = field(default_factory=Pace)
    pause: Pause = field(default_factory=Pause)
    line: list[Place] = field(default_factory=list)
    tokens: TokenPace = field(default_factory=TokenPace)
    advice: dict[str, Advice] = field(default_factory=dict)
    """What the service's headers said last, by kind."""

    @classmethod
    def parse(cls, text: bytes | None, boot: str, limits: Limits, now_ns: int, known: Ledger | None = None) -> Ledger:
        """Return the ledger that `dump` wrote, joined with what this process knew of it.

        Lost or stale state is treated as an exhausted rate, because nobody knows what was sent. That is the case if the
        text cannot be read, is of another boot or names future times, and also if it lacks something that this process
        knew: then the books were lost meanwhile, and perhaps begun anew. A pause that this process did not know of is
        lost, too; the service will ask for it again.

        Args:
            text: The content of the books; None if there are none yet.
            boot: Names the clock's epoch.
            limits: The rules whose rate may be exhausted.
            now_ns: The time.
            known: The ledger as this process last saw it; None if it never did.
        """
        ledger = cls._read(text, boot, limits, now_ns)
        if known is None:
            return ledger
        pace, pause = ledger.pace.joined(known.pace), ledger.pause.joined(known.pause)
        tokens = max(ledger.tokens, known.tokens, key=lambda each: each.changes)
        is_lost = tokens.changes > ledger.tokens.changes
        if text is None or is_lost or (pace, pause) != (ledger.pace, ledger.pause):
            pace, tokens = pace.joined(Pace.used_up(limits, now_ns)), tokens.used_up(limits, now_ns)
        later = [each.advice for each in (known, ledger)]
        return cls(boot, pace, pause, ledger.line, tokens, _latest(*later))

    @classmethod
    def _read(cls, text: bytes | None, boot: str, limits: Limits, now_ns: int) -> Ledger:
        if text is None:
            return cls(boot)
        try:
            return _Reader(now_ns).ledger(text, boot)
        except (ValueError, TypeError, KeyError, RecursionError):
            return cls(boot, Pace.used_up(limits, now_ns), tokens=TokenPace().used_up(limits, now_ns))

    def dump(self) -> bytes:
        """Return the ledger as JSON."""
        return json.dumps(
            {
                "boot": self.boot,
                "last_ns": self.pace.last_ns,
                "recent_ns": self.pace.recent_ns,
                "over_ns": self.pace.over_ns,
                "bursts": [[each.began_ns, each.spent] for each in self.pace.bursts],
                "paused_until_ns": self.pause.until_ns,
                "strikes": self.pause.strikes,
                "credit": self.pause.credit,
                "line": [[each.ticket, each.due_ns, each.tokens] for each in self.line],
                "tokens": [self.tokens.free_ns, list(self.tokens.charged.items()), self.tokens.changes],
                "advice": {
                    kind: [each.seen_ns, each.limit, each.free_ns, each.left, each.until_ns]
                    for kind, each in self.advice.items()
                },
            },
            allow_nan=False,
        ).encode()

    def ask(self, limits: Limits, ticket: str, now_ns: int, tokens: int = 0) -> int:
        """Let the process with this ticket send a request, or give it a place in line.

        Args:
            limits: The rules of that process.
            ticket: The ticket.
            now_ns: The time.
            tokens: What the request is expected to take.

        Returns:
            0 if it may send now; the request is recorded then. Else the nanoseconds after which it is to ask again.
        """
        self.line = [each for each in self.line if now_ns < each.due_ns + FORGOTTEN_NS]
        place = next((each for each in self.line if each.ticket == ticket), None)
        if place is None:
            place = Place(ticket, now_ns, tokens)
            self.line.append(place)
        ahead = self._ahead_of(place, now_ns) if limits.in_line else []
        turn_ns = self._turn_ns(limits, ahead, now_ns, tokens)
        if turn_ns <= now_ns:
            self.line.remove(place)
            self.pace.record(limits, now_ns)
            self.tokens.record(limits, tokens, now_ns)
            for kind, advice in self.advice.items():
                advice.record(1 if kind == KINDS[0] else tokens, now_ns)
            return 0
        recheck_ns = RECHECK_NS if limits.tokens_per_min is None else TOKEN_RECHECK_NS
        place.due_ns = min(turn_ns, now_ns + recheck_ns)
        return place.due_ns - now_ns

    def settle(self, limits: Limits, charge: Charge, tokens: int, now_ns: int) -> None:
        """Correct the charge of a request by the tokens that it took."""
        self.tokens.settle(limits, charge, tokens, now_ns)
        if "tokens" in self.advice:
            self.advice["tokens"].settle(charge.tokens, tokens, now_ns)

    def leave(self, ticket: str) -> None:
        """Remove a ticket's place from the line."""
        self.line = [each for each in self.line if each.ticket != ticket]

    def _ahead_of(self, place: Place, now_ns: int) -> list[Place]:
        before = self.line[: self.line.index(place)]
        return [each for each in before if now_ns <= each.due_ns + OVERDUE_NS]

    def _turn_ns(self, limits: Limits, ahead: list[Place], now_ns: int, tokens: int) -> int:
        """Return when a process may send that has these places ahead of it, each of which sends as early as it may."""
        pace, tokens_sent = (self.pace.copy(), self.tokens.copy()) if ahead else (self.pace, self.tokens)

        def earliest_ns(wanted: int, from_ns: int) -> int:
            return pace.earliest_ns(limits, tokens_sent.earliest_ns(limits, wanted, from_ns))

        turn_ns = max(now_ns, self.pause.until_ns)
        for kind, advice in self.advice.items():
            turn_ns = max(turn_ns, advice.earliest_ns(1 if kind == KINDS[0] else tokens, now_ns))
        for each in ahead[:_MAX_PLACES]:
            turn_ns = earliest_ns(each.tokens, turn_ns)
            pace.record(limits, turn_ns)
            tokens_sent.record(limits, each.tokens, turn_ns)
            turn_ns = max(turn_ns, each.due_ns, now_ns + _MIN_WAIT_NS)
        return earliest_ns(tokens, turn_ns)


def _latest(known: dict[str, Advice], read: dict[str, Advice]) -> dict[str, Advice]:
    """Return what was said last of each kind: books that were lost do not make a process forget it."""
    both = {**known, **read}
    return {kind: max(known.get(kind, each), each, key=lambda said: said.seen_ns) for kind, each in both.items()}


class _Reader:
    """Reads a ledger strictly, so that the rest of the code can rely on its values."""

    def __init__(self, now_ns: int) -> None:
        self._now_ns = now_ns

    def ledger(self, text: bytes, boot: str) -> Ledger:
        if len(text) > _MAX_BYTES:
            raise ValueError("too long")
        books = json.loads(text)
        if books["boot"] != boot:
            raise ValueError("another boot")
        tokens = self._tokens(*books["tokens"])
        advice = {kind: self._advice(*books["advice"][kind]) for kind in KINDS if kind in books["advice"]}
        return Ledger(boot, self._pace(books), self._pause(books), self._line(books["line"]), tokens, advice)

    def _pace(self, books: dict[str, Any]) -> Pace:
        last_ns = books["last_ns"]
        recent_ns = [self._past(each) for each in books["recent_ns"]]
        bursts = [Burst(self._past(began), _count(spent)) for began, spent in books["bursts"]]
        if recent_ns != sorted(recent_ns) or (recent_ns and recent_ns[-1] != last_ns):
            raise ValueError("requests out of order")
        if bursts != sorted(bursts, key=lambda each: each.began_ns):
            raise ValueError("bursts out of order")
        over_ns = books["over_ns"]
        return Pace(
            None if last_ns is None else self._past(last_ns),
            recent_ns,
            bursts,
            None if over_ns is None else self._past(over_ns),
        )

    def _pause(self, books: dict[str, Any]) -> Pause:
        max_ns = int(MAX_PAUSE_S) * SECOND_NS
        if _count(books["strikes"]) > MAX_STRIKES or _count(books["credit"]) > MAX_CREDIT:
            raise ValueError("too many strikes, or answers")
        return Pause(self._until(books["paused_until_ns"], max_ns), books["strikes"], books["credit"])

    def _line(self, places: list[Any]) -> list[Place]:
        if not all(isinstance(ticket, str) for ticket, _, _ in places):
            raise ValueError("a ticket that is not text")
        return [Place(ticket, self._until(due_ns, RECHECK_NS), _count(tokens)) for ticket, due_ns, tokens in places]

    def _tokens(self, free_ns: object, charged: list[Any], changes: object) -> TokenPace:
        seconds = {self._past(_count(second) * SECOND_NS) // SECOND_NS: _count(tokens) for second, tokens in charged}
        if list(seconds) != sorted(seconds):
            raise ValueError("tokens out of order")
        return TokenPace(self._until(free_ns, LONGEST_DEBT_NS), seconds, _count(changes))

    def _advice(self, seen_ns: object, limit: object, free_ns: object, left: object, until_ns: object) -> Advice:
        return Advice(
            self._past(seen_ns),
            None if limit is None else _count(limit) or None,
            self._until(free_ns, 2 * LONGEST_RESET_NS),
            None if left is None else _count(left),
            self._until(until_ns, LONGEST_RESET_NS),
        )

    def _past(self, moment: object) -> int:
        return self._until(moment, 0)

    def _until(self, moment: object, max_ns: int) -> int:
        if _count(moment) > self._now_ns + max_ns:
            raise ValueError("a time in the future")
        return _count(moment)


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MAX_COUNT:
        raise ValueError("not a count")
    return value
