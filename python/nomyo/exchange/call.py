"""One chat request: what of it is sealed, and what says where and how it travels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from .. import _core
from .._warn import warn_once
from ..responses import ChatCompletionResponse, SecureResponse
from .effects import Timeouts
from .evidence import Evidence
from .protocol import NOT_SEALED, PAYLOAD_LIMIT_BYTES, check_header_value, check_security_tier

_NEW_ID: Final[Any] = object()
"""The default of `payload_id`. None is not it, so that a caller who lost the ID of a request gets an error."""

NOT_SENT: Final = "-"
"""The ID of a payload that is only sealed: to draw one takes longer than all else that is done here."""

_NO_STREAM: Final = (
    "stream=True: the answer comes back whole all the same, because it is sealed as a whole;"
    " the clients of nomyo.openai make a stream of it"
)
SMALL_MODEL: Final = "Qwen/Qwen3-0.6B"
"""The smallest model in the list that the service's operator publishes (docs/models.md)."""
_PARSED: Final = """\
response_format must be JSON, not the class {name}; nomyo.openai makes an answer an object of it:
    from nomyo.openai import OpenAI  # or AsyncOpenAI
    answer = OpenAI().chat.completions.parse(model=..., messages=..., response_format={name})
    answer.choices[0].message.parsed  # a {name}"""


@dataclass(slots=True, repr=False)
class Tally:
    """What became of one call on its way, for its span."""

    attempts: int = 0
    request_bytes: int | None = None
    """Of the last package that was sent."""
    response_bytes: int | None = None
    answer: ChatCompletionResponse | SecureResponse | None = None


class Call:
    """One chat request. Its repr shows nothing of it, because debugging tools print local variables of a traceback."""

    __slots__ = (
        "api_key",
        "evidence",
        "is_small",
        "payload",
        "payload_id",
        "rate_headers",
        "security_tier",
        "tally",
        "timeouts",
        "wants_stream",
    )

    def __init__(
        self,
        payload: Mapping[str, Any],
        payload_id: str = _NEW_ID,
        api_key: str | None = None,
        security_tier: str | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        """Split what is sealed from what is not; `check` refuses what cannot be sent.

        Args:
            payload: The request. Names that say where and how it travels (`NOT_SEALED`) may be in it; they are left
                out of what is sealed.
            payload_id: Identifies the request; by default, a new UUID4.
            api_key: Takes precedence over the client's own.
            security_tier: "standard", "high" or "maximum".
            timeouts: Take precedence over the client's own.
        """
        # Whatever is no mapping stays as it is for `check`: a client that was disposed of says that first.
        self.payload = _sealed_part(payload) if isinstance(payload, Mapping) else payload
        self.wants_stream = isinstance(payload, Mapping) and bool(payload.get("stream"))
        self.payload_id = _core.new_payload_id() if payload_id is _NEW_ID else payload_id
        self.api_key = api_key
        self.security_tier = security_tier
        self.timeouts = timeouts
        self.tally: Tally | None = None
        """Filled while the call is under way, if somebody records spans."""
        self.evidence: Evidence | None = None
        """What the call exchanges, if somebody keeps that."""
        self.rate_headers: Mapping[str, str] = {}
        """What the last answer says of the service's limits."""
        self.is_small: bool | None = None
        """Whether the payload is sealed without a thread; None until `Envelopes` has measured it."""

    def check(self) -> None:
        """Refuse what cannot be sent, before anything is.

        Warns once if a stream is wanted.

        Raises:
            TypeError: The payload is no mapping, a header's value is no str, or the answer is to be an object of a
                class (a Pydantic model).
            ValueError: Nothing of the payload is sealed, the payload ID is empty, or the tier does not exist.
            SecurityError: A value cannot stand in an HTTP header.
        """
        check_header_value("payload_id", self.payload_id)
        if not self.payload_id:
            raise ValueError("payload_id must not be empty")
        if self.api_key is not None:
            check_header_value("api_key", self.api_key)
        check_security_tier(self.security_tier)
        if not isinstance(self.payload, dict):
            raise TypeError(f"the payload must be a mapping, not {type(self.payload).__name__}")
        if not self.payload:
            raise ValueError("the payload must not be empty")
        wanted = self.payload.get("response_format")
        if isinstance(wanted, type):
            raise TypeError(_PARSED.format(name=wanted.__name__))
        if self.wants_stream:
            warn_once(_NO_STREAM)

    def dry_run(self) -> None:
        """Raise what sealing would raise for this payload.

        Raises:
            TypeError, ValueError: The payload is not JSON, or too large; the message names the path.
        """
        _core.check_payload(self.payload, limit_bytes=PAYLOAD_LIMIT_BYTES)


def attestation_call(model: str) -> Call:
    """Return a small request, whose answer brings the router's attestation."""
    return Call({"model": model, "messages": [{"role": "user", "content": "."}], "max_tokens": 1})


def _sealed_part(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return the payload without what says where and how it travels."""
    return {name: value for name, value in payload.items() if name not in NOT_SEALED}
