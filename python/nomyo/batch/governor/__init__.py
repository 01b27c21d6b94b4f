"""When a request may go, by the service's rules, for all processes of a user that use one API key.

Most modules have neither I/O nor a clock of their own, so that tests can try every window of every schedule.

Modules, from the ground up; each imports only from those above it:

    limits       the service's rules, and where the service states them
    clock        the clock that all processes of a boot agree on
    pace         when the next request may go, by steady rate and bursts
    token_pace   when a request of so many tokens may go, by a rate of tokens a minute
    pauses       how long an error of the service asks to wait: `Retry-After`, cool-down, backoff
    rate_headers what answers' headers say of the service's limits
    ledger       the shared state (paces, pause, and the line of waiting processes) and its JSON
    shared_file  a private file, read and replaced under flock(2)
    governor     combines these behind `acquire`, `turn` and `note`
"""

from .governor import Governor
from .limits import Limits

__all__ = ["Governor", "Limits"]
