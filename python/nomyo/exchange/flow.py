"""The flows of one client: what it does to seal a request, send it and open the answer, without I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from .. import _core
from .._warn import warn
from ..attestation import Attestation
from ..errors import APIConnectionError, APIError, AttestationError, SecurityError
from ..memory import check_nothing_unlocked
from ..responses import ChatCompletionResponse, SecureResponse
from .attempts import Attempts
from .call import Call
from .client_keys import ClientKeys, KeyPair
from .effects import Flow, Request, Response, TakeSlot
from .envelope import Envelopes
from .evidence import Evidence, Exchanged
from .key_judge import KeyJudge
from .lifetime import Lifetime
from .new_keys import new_keys
from .paths import KeyDir, absolute_path
from .protocol import completion_headers, completion_request, error_for, usable_body
from .recorder import Recorder
from .server_key import ServerKey
from .settings import Password, Settings
from .spans import traced
from .wrong_address import PLAIN_HTTP

if TYPE_CHECKING:
    from typing_extensions import Buffer

AnswerT = TypeVar("AnswerT", ChatCompletionResponse, SecureResponse)

_MAY_BE_STALE_KEY = 400
"""What the router answers to a package that it cannot open: it may have changed its key since it gave us one."""


def _judged(evidence: Evidence, opening: Flow[AnswerT]) -> Flow[AnswerT]:
    """Open an answer, and note the verdict on the router's attestation."""
    found: Attestation | None = None
    try:
        answer = yield from opening
        found = answer.attestation
    except AttestationError as error:
        found = error.attestation
        raise
    finally:
        evidence.exchanged[-1].attestation = None if found is None else found.verdict
    return answer


class Exchange:
    """What one client says to one router: its keys, the router's key, and the flows that use them."""

    def __init__(
        self,
        settings: Settings,
        keys: ClientKeys | None = None,
        judge: KeyJudge | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        """Use the key pair of another exchange, or start opening one of our own in the background; see `ClientKeys`.

        Args:
            settings: The client's.
            keys: Those of the other exchange.
            judge: Is asked about each key that the router shows.
            recorder: Keeps evidence of each call.
        """
        self.settings = settings
        self._log = settings.log
        self._owns_keys = keys is None
        self._keys = ClientKeys(settings) if keys is None else keys
        self._lifetime = Lifetime(self._keys)
        self._attempts = Attempts(settings, self._lifetime)
        self._server_key = ServerKey(settings, self._attempts, judge)
        self._envelopes = Envelopes(settings)
        self._recorder = recorder

    def with_same_keys(self, settings: Settings, judge: KeyJudge | None, recorder: Recorder | None) -> Exchange:
        """Return an exchange with another router that uses this one's key pair, and leaves it as it is at its end."""
        return Exchange(settings, self._keys, judge, recorder)

    def check_usable(self) -> None:
        """Refuse to go on after `dispose` or in a forked child; see `Lifetime.check`."""
        self._lifetime.check()

    def dispose(self) -> None:
        """Wipe our keys, if they are nobody else's; flows under way end with DisposedError. Idempotent."""
        self._lifetime.end()
        if self._owns_keys and self._lifetime.is_of_this_process:
            self._keys.dispose()
        if self._recorder is not None:
            self._recorder.hurry()

    def evidence_kept(self) -> Flow[None]:
        """Wait until all evidence of the client is on the disk, at its end; not at that of a client for one request."""
        if self._recorder is not None and self._owns_keys and self._lifetime.is_of_this_process:
            yield from self._recorder.ended()

    def send(self, call: Call) -> Flow[ChatCompletionResponse]:
        """Seal a request, send it, and open the answer."""
        return self._recorded(call, self._answer(call, self._envelopes.open))

    def send_secret(self, call: Call) -> Flow[SecureResponse]:
        """Do what `send` does, with the answer opened into locked memory."""
        return self._recorded(call, self._answer(call, self._envelopes.open_secret))

    def _recorded(self, call: Call, flow: Flow[AnswerT]) -> Flow[AnswerT]:
        if self._recorder is None:
            return flow
        self._check_sendable(call)  # what cannot be sent leaves no evidence
        return self._recorder.recorded(call, flow)

    def _with_evidence(self, call: Call, opening: Flow[AnswerT]) -> Flow[AnswerT]:
        if self._recorder is None or call.evidence is None:
            return opening
        return self._recorder.opened(call, _judged(call.evidence, opening))

    def attest(self, call: Call) -> Flow[Attestation]:
        """Send a request for the attestation of its answer alone."""
        answer = yield from self.send(call)
        return self._envelopes.attestation_of(answer)

    def _answer(
        self, call: Call, open_package: Callable[[bytes, _core.PrivateKey, str], Flow[AnswerT]]
    ) -> Flow[AnswerT]:
        with traced(call, self.settings):
            self._check_sendable(call)
            with (yield TakeSlot()):
                server_key = yield from self._server_key_for(call)
                yield from self.keys_ready()
                with self._keys.lease() as pair:
                    package = yield from self._answer_to(call, pair, server_key)
                    opening = open_package(package, pair.private_key, call.payload_id)
                    answer = yield from self._with_evidence(call, opening)
            if call.tally is not None:
                call.tally.answer = answer
            return answer

    def seal(self, call: Call) -> Flow[bytes]:
        """Seal a call's payload for the router."""
        self._check_sendable(call)
        with (yield TakeSlot()):
            server_key = yield from self._server_key_for(call)
            return (yield from self._envelopes.seal(call, server_key))

    def open(self, package: Buffer, payload_id: str) -> Flow[ChatCompletionResponse]:
        """Open an answer that was sealed for us."""
        self._lifetime.check()
        with (yield TakeSlot()):
            yield from self.keys_ready()
            with self._keys.lease() as pair:
                return (yield from self._envelopes.open(package, pair.private_key, payload_id))

    def fetch_server_key(self) -> Flow[str]:
        """Ask the router for its public key, as PEM."""
        self._check_reachable()
        with (yield TakeSlot()):
            self._lifetime.check()  # the wait may have been long
            key = yield from self._server_key.fetch(self.settings.timeouts)
        return key.pem

    def server_key_ready(self) -> Flow[None]:
        """Wait until the router's key is known; with a lifetime of 0, each request asks for it itself."""
        self._check_reachable()
        if self.settings.server_key_ttl:
            yield from self._server_key.get(self.settings.timeouts)

    def keys_ready(self) -> Flow[None]:
        """Wait until there is a key pair of ours; warn of its files, and of memory that is not locked."""
        self._lifetime.check()
        yield from self._keys.ready()
        self._warn_of_key_files()
        check_nothing_unlocked(self.settings.secure_memory, stacklevel=2)

    def generate_keys(self, options: Mapping[str, Any] | None, named: Mapping[str, Any]) -> Flow[None]:
        """Generate a pair of our own, and use it from now on; see `new_keys`."""
        self._lifetime.check()
        yield from self._keys.generate(new_keys(self.settings, options, named))
        self._warn_of_key_files()

    def load_keys(self, private_path: KeyDir, public_path: KeyDir | None, password: Password | None) -> Flow[None]:
        """Load a pair of our own, and use it from now on."""
        self._lifetime.check()
        private_path = absolute_path("private_key_path", private_path)
        public_path = None if public_path is None else absolute_path("public_key_path", public_path)
        yield from self._keys.load(private_path, public_path, password)
        self._warn_of_key_files()

    def _check_sendable(self, call: Call) -> None:
        """Refuse a call before it waits for anything."""
        self._check_reachable()
        call.check()

    def _check_reachable(self) -> None:
        """Refuse to speak to a router in clear text, unless the caller allowed it."""
        self._lifetime.check()
        if self.settings.plain_http and not self.settings.allow_http:
            raise SecurityError(PLAIN_HTTP)

    def _warn_of_key_files(self) -> None:
        for warning in self._keys.take_warnings():
            warn(warning, stacklevel=2)

    def _server_key_for(self, call: Call) -> Flow[_core.PublicKey]:
        """Return the router's key; a payload that cannot be sealed is refused before the router is asked for it."""
        self._lifetime.check()  # the wait for the slot may have been long
        key = self._server_key.cached()
        if key is None:
            yield from self._envelopes.check(call)
            key = yield from self._server_key.get(call.timeouts or self.settings.timeouts, call.api_key)
        return key

    def _answer_to(self, call: Call, pair: KeyPair, server_key: _core.PublicKey) -> Flow[bytes]:
        """Send a request under one key pair of ours; under two keys of the router's, if it changed its own."""
        response = yield from self._post(call, pair, server_key)
        if response.status == _MAY_BE_STALE_KEY:
            newer = yield from self._newer_server_key(call, server_key)
            if newer is not None:
                self._log.debug("the router changed its key: sealing again")
                response = yield from self._post(call, pair, newer)
        if response.status != 200:
            raise error_for(response, call.api_key, self.settings.api_key)
        return usable_body(response)

    def _post(self, call: Call, pair: KeyPair, server_key: _core.PublicKey) -> Flow[Response]:
        package = yield from self._envelopes.seal(call, server_key)
        if call.tally is not None:
            call.tally.request_bytes = len(package)
        exchanged = None
        if call.evidence is not None:
            exchanged = Exchanged(package, server_key, pair.private_key.public_key)
            call.evidence.exchanged.append(exchanged)
        response = yield from self._attempts.send(self._request(call, pair, package), call.tally)
        call.rate_headers = response.rate_headers
        if exchanged is not None:
            exchanged.response = response
        return response

    def _request(self, call: Call, pair: KeyPair, package: bytes) -> Request:
        api_key = call.api_key if call.api_key is not None else self.settings.api_key
        headers = completion_headers(
            call.payload_id,
            pair.public_key_header,
            api_key,
            call.security_tier,
            padded_answer=self.settings.pad_requests,
        )
        return completion_request(self.settings.base_url, headers, package, call.timeouts)

    def _newer_server_key(self, call: Call, refused: _core.PublicKey) -> Flow[_core.PublicKey | None]:
        """Return the router's present key if it is another than the one it refused."""
        timeouts = call.timeouts or self.settings.timeouts
        try:
            return (yield from self._server_key.get_other_than(refused, timeouts, call.api_key))
        except (APIError, APIConnectionError):
            return None  # the refusal itself says more to the caller than this
