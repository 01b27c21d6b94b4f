"""The lines of an audit log, as JSON without their chain.

They are put together from their parts, since making a dict and writing that takes twice as long; it happens in threads
that open answers, and compete for the interpreter with the event loop.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii
from typing import Final

from nomyo import _core
from nomyo._finite_json import ascii_json
from nomyo._printable import printable
from nomyo.exchange.call import Call
from nomyo.exchange.evidence import Evidence, Exchanged
from nomyo.exchange.settings import Settings

_LONGEST_CHARS: Final = 256
_LONGEST_URL_CHARS: Final = 2048
_NOTHING_SEALED: Final = (
    '"router_key":null,"client_key":null,"request_bytes":null,"request_sha256":null,"status":null'
    ',"response_bytes":null,"response_sha256":null,"attestation":null'
)
_NO_RESPONSE: Final = '"status":null,"response_bytes":null,"response_sha256":null'


class AuditLines:
    """Makes the lines of one client's calls.

    Args:
        settings: The client's.
    """

    def __init__(self, settings: Settings) -> None:
        self._router = _text(settings.base_url[:_LONGEST_URL_CHARS])
        self._shows_model = settings.audit_model
        self._required = "true" if settings.secure_memory == "require" else "false"

    def of(self, call: Call, evidence: Evidence, error: str | None) -> list[bytes]:
        """Return the lines of a call, as it stands now; a megabyte of a package and its answer takes a millisecond.

        Args:
            call: The call.
            evidence: What it exchanged.
            error: The class of the error that its caller gets.
        """
        facts = self._facts(call, evidence.began_s)
        if not evidence.exchanged:
            return [f'{facts},"error":{_text(error)},{_NOTHING_SEALED}}}'.encode()]
        # The others were sealed for a key that the router had replaced; the caller got no error of them.
        *refused, last = evidence.exchanged
        return [
            *(f'{facts},"error":null,{_exchanged(each)}}}'.encode() for each in refused),
            f'{facts},"error":{_text(error)},{_exchanged(last)}}}'.encode(),
        ]

    def _facts(self, call: Call, began_s: float) -> str:
        status, refused = _core.memory_status(), _core.refused_calls()
        return (
            f'{{"time":"{datetime.now(UTC).isoformat(timespec="milliseconds")}"'
            f',"took_s":{round(time.monotonic() - began_s, 3)},"router":{self._router}'
            f',"payload_id":{_text(call.payload_id[:_LONGEST_CHARS])}'  # a header's value, which `Call.check` has seen
            f',"tier":{_text(call.security_tier)}{self._model(call)}'
            f',"memory":{{"locked_bytes":{status["locked_bytes"]},"unlocked_bytes":{status["unlocked_bytes"]}'
            f',"required":{self._required},"refused_calls":{ascii_json(refused) if refused else "[]"}}}'
        )

    def _model(self, call: Call) -> str:
        model = call.payload.get("model") if self._shows_model else None
        return f',"model":{_text(printable(model, _LONGEST_CHARS))}' if isinstance(model, str) else ""


def _exchanged(one: Exchanged) -> str:
    response = one.response
    answer = _NO_RESPONSE
    if response is not None:
        digest = _core.sha256_hex(response.body)
        answer = f'"status":{response.status},"response_bytes":{len(response.body)},"response_sha256":"{digest}"'
    return (
        f'"router_key":"{one.router_key.fingerprint}","client_key":"{one.client_key.fingerprint}"'
        f',"request_bytes":{len(one.package)},"request_sha256":"{_core.sha256_hex(one.package)}"'
        f',{answer},"attestation":{_text(one.attestation)}'
    )


def _text(text: str | None) -> str:
    return "null" if text is None else encode_basestring_ascii(str(text))
