"""What the processes that share an API key know together: the pace, the pause, and who is next; no I/O.

Each process has one place in line, for the first of its own waiting requests. So processes take turns, and one that
dies leaves one place behind. Whoever stands in line says when it will look again. Who is overdue is passed over, and
keeps its place for a while in case it was only slow. Without a limit there is no line, only the pause.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final

from .limits import LONGEST_PAUSE_S, SECOND_NS, Limits
from .pace import Burst, Pace
from .pauses import MOST_STRIKES, Pause

LOOK_NS: Final = 10 * SECOND_NS
"""Nobody in line sleeps for longer than this without a look."""
OVERDUE_NS: Final = SECOND_NS // 4
FORGOTTEN_NS: Final = 60 * SECOND_NS
_SHORTEST_WAIT_NS: Final = SECOND_NS // 1000
_MOST_PLACES: Final = 256
_MOST_BYTES: Final = 1 << 20


@dataclass(slots=True)
class Place:
    """A place in line."""

    ticket: str
    due_ns: int
    """When its holder will look again."""


@dataclass(slots=True)
class Ledger:
    """The books of one API key at one service, during one boot of one machine."""

    boot: str
    pace: Pace = field(default_factory=Pace)
    pause: Pause = field(default_factory=Pause)
    line: list[Place] = field(default_factory=list)

    @classmethod
    def parse(cls, text: bytes | None, boot: str, limits: Limits, now_ns: int, known: Ledger | None = None) -> Ledger:
        """Return the ledger that `dump` wrote, with what was known of it before.

        Where it cannot be read, or speaks of another boot or of times to come, all that the limits allow counts as used
        up just now: nobody knows what was sent. So it does where something is missing that was known: the books were
        lost meanwhile, and perhaps begun anew. A pause that nobody here knew of is forgotten then; the service asks for
        it again.

        Args:
            text: What was written, or None where there is nothing yet.
            boot: Names the clock's epoch.
            limits: What may have been used up.
            now_ns: The time.
            known: The ledger when this process saw it last; None where it never did.
        """
        ledger = cls._read(text, boot, limits, now_ns)
        if known is None:
            return ledger
        pace, pause = ledger.pace.joined(known.pace), ledger.pause.joined(known.pause)
        if text is None or (pace, pause) != (ledger.pace, ledger.pause):
            pace = pace.joined(Pace.used_up(limits, now_ns))
        return cls(boot, pace, pause, ledger.line)

    @classmethod
    def _read(cls, text: bytes | None, boot: str, limits: Limits, now_ns: int) -> Ledger:
        if text is None:
            return cls(boot)
        try:
            return _Reader(now_ns).ledger(text, boot)
        except (ValueError, TypeError, KeyError, RecursionError):
            return cls(boot, Pace.used_up(limits, now_ns))

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
                "line": [[each.ticket, each.due_ns] for each in self.line],
            }
        ).encode()

    def ask(self, limits: Limits, ticket: str, now_ns: int) -> int:
        """Let the holder of a ticket send, or tell it when to look again.

        Returns:
            0 where it may send now, which is recorded; else the nanoseconds until it is to look again.
        """
        self.line = [each for each in self.line if now_ns < each.due_ns + FORGOTTEN_NS]
        place = next((each for each in self.line if each.ticket == ticket), None)
        if place is None:
            place = Place(ticket, now_ns)
            self.line.append(place)
        ahead = [] if limits.unlimited else self._ahead_of(place, now_ns)
        turn_ns = self._turn_ns(limits, ahead, now_ns)
        if turn_ns <= now_ns:
            self.line.remove(place)
            self.pace.record(limits, now_ns)
            return 0
        place.due_ns = min(turn_ns, now_ns + LOOK_NS)
        return place.due_ns - now_ns

    def leave(self, ticket: str) -> None:
        """Give up the place of a ticket."""
        self.line = [each for each in self.line if each.ticket != ticket]

    def _ahead_of(self, place: Place, now_ns: int) -> list[Place]:
        before = self.line[: self.line.index(place)]
        return [each for each in before if now_ns <= each.due_ns + OVERDUE_NS]

    def _turn_ns(self, limits: Limits, ahead: list[Place], now_ns: int) -> int:
        """Return when the turn comes of one who has so many places ahead, if each of these sends as early as it may."""
        pace = self.pace.copy() if ahead else self.pace
        turn_ns = pace.earliest_ns(limits, max(now_ns, self.pause.until_ns))
        for each in ahead[:_MOST_PLACES]:
            pace.record(limits, turn_ns)
            turn_ns = max(pace.earliest_ns(limits, turn_ns), each.due_ns, now_ns + _SHORTEST_WAIT_NS)
        return turn_ns


class _Reader:
    """Reads a ledger strictly: what it returns, the rest of the code can work with."""

    def __init__(self, now_ns: int) -> None:
        self._now_ns = now_ns

    def ledger(self, text: bytes, boot: str) -> Ledger:
        if len(text) > _MOST_BYTES:
            raise ValueError("too long")
        books = json.loads(text)
        if books["boot"] != boot:
            raise ValueError("another boot")
        return Ledger(boot, self._pace(books), self._pause(books), self._line(books["line"]))

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
        longest_ns = int(LONGEST_PAUSE_S) * SECOND_NS
        if _count(books["strikes"]) > MOST_STRIKES:
            raise ValueError("too many strikes")
        return Pause(self._until(books["paused_until_ns"], longest_ns), books["strikes"])

    def _line(self, places: list[Any]) -> list[Place]:
        if not all(isinstance(ticket, str) for ticket, _ in places):
            raise ValueError("no line")
        return [Place(ticket, self._until(due_ns, LOOK_NS)) for ticket, due_ns in places]

    def _past(self, moment: object) -> int:
        return self._until(moment, 0)

    def _until(self, moment: object, longest_ns: int) -> int:
        if _count(moment) > self._now_ns + longest_ns:
            raise ValueError("a time to come")
        return _count(moment)


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError("no count")
    return value
