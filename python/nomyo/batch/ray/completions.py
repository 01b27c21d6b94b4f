"""`SecureCompletions`, of which Ray Data's `map_batches` makes one in each actor; the client and sender inside it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any, Final, Unpack

import pyarrow as pa

from nomyo import _core
from nomyo._checks import check_int, check_number
from nomyo._create_request import prepare
from nomyo._warn import log_named
from nomyo.batch.budget import Budget, Spending
from nomyo.batch.client_options import BatchOptions, as_of_client, check_names
from nomyo.batch.governor import Limits
from nomyo.batch.governor.governor import name_of
from nomyo.batch.governor.limits import limits_at
from nomyo.batch.ray.node_secrets import REFUSED, check_options, with_secrets
from nomyo.batch.ray.rate import ClusterRate
from nomyo.batch.ray.rows import answers_of, rows_of
from nomyo.batch.ray.spending import ClusterSpending
from nomyo.batch.records import UNWRITABLE, BadRow, Row, answered, failed, is_success, read_mark, tokens_of
from nomyo.batch.router_check import check_router, router_is_alive, server_key_known
from nomyo.batch.row_tokens import RowTokens, row_tokens
from nomyo.batch.runner import PATIENCE_S
from nomyo.batch.sealed import Seal
from nomyo.batch.sender import NotSent, Sender
from nomyo.client import SecureCompletionClient
from nomyo.errors import APIError, BatchError, DisposedError
from nomyo.exchange.settings import DEFAULT_BASE_URL, PATIENT_TIMEOUT_S
from nomyo.exchange.signatures import shows_options
from nomyo.exchange.tracebacks import clears_traceback
from nomyo.responses import ChatCompletionResponse

_LOG: Final = log_named("nomyo.batch.ray")
shows_actor_options: Final = shows_options(
    BatchOptions,
    without=REFUSED,
    timeout=PATIENT_TIMEOUT_S,
    key_dir=None,
    key_rotation_dir=None,
    max_connections=32,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The arguments of an actor; they are pickled, and hold no secret."""

    requests_at_once: int = 32
    rate: float | None = None
    limits: Limits | None = None
    token_rate: int | None = None
    max_retries: int = 2
    patience: float = PATIENCE_S
    api_key_file: str | None = None
    key_password_file: str | None = None
    seal_to_pem: str | None = None
    """The public key that rows are sealed for."""
    budget: Budget = field(default_factory=Budget)
    """What the whole job may take."""
    earlier: RowTokens = field(default_factory=RowTokens)
    """What the rows of earlier runs took."""
    ledger: Any = None
    """The actor that keeps the budget; None if there is nothing to count."""
    last_parts: bool = False
    """Whether all remaining parts of the job are under way at once."""
    client_options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse secrets, unknown options, and values that are out of range."""
        check_options(self.client_options)
        check_names(self.client_options)
        check_int("requests_at_once", self.requests_at_once, 1)
        check_int("max_retries", self.max_retries, 0)
        check_number("patience", self.patience, 0)
        limits_at(DEFAULT_BASE_URL, self.limits, self.rate, self.token_rate)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a row."""

    row: bytes = field(repr=False)
    """The row of the output."""
    tokens: tuple[int, int] = (0, 0)
    """The tokens of the prompt and of the answer, as the router counts them."""
    failure: Exception | None = field(default=None, repr=False)
    """Why the row failed; None if it has an answer."""
    held_back: APIError | None = field(default=None, repr=False)
    """A refusal that may be the account's fault, and is written only after a later answer, or at the end."""


class Completions:
    """One client that sends a bounded number of requests at once, for one event loop.

    Raises:
        SecurityError: Plain HTTP without `allow_http`, or key files that cannot be opened.
        OSError, ValueError: The file of a secret cannot be read, or an option is wrong.
    """

    @clears_traceback
    def __init__(self, options: Options) -> None:
        self._client = _client(options)
        settings = self._client.settings
        limits = limits_at(settings.base_url, options.limits, options.rate, options.token_rate)
        rate = ClusterRate(name_of(settings.base_url, settings.api_key or ""), limits)
        self._slots = asyncio.Semaphore(options.requests_at_once)
        self._sender = Sender(
            self._create,
            rate,
            lambda: router_is_alive(self._client),
            max_retries=options.max_retries,
            patience_s=options.patience,
            report=_LOG.warning,
            server_key=lambda: server_key_known(self._client),
            address=settings.base_url,
            spending=_spending(options),
        )
        self._sender.begin_with(options.earlier)
        self._counts_tokens = options.budget.counts
        self._until_deadline = ExitStack()
        self._sender.all_begun = lambda: options.last_parts and not self._slots.locked()
        self._seal = _seal(options)
        self._check = asyncio.Lock()
        self._checked = False

    async def _create(self, body: dict[str, Any]) -> ChatCompletionResponse:
        call = prepare(body, None, None, {})[0]
        try:
            return await self._client.send(call)
        finally:
            self._sender.heed(call.rate_headers)

    @property
    def failure(self) -> BatchError | None:
        """Why no more rows are sent; None while they are."""
        return self._sender.failure

    @property
    def limit(self) -> str | None:
        """The budget or deadline because of which no more rows are sent, in words; None while they are."""
        return self._sender.spending.reached if self._sender.stopping and self.failure is None else None

    async def check_router(self) -> None:
        """Check before the first row what would fail for every row, once; see `nomyo.batch.router_check`.

        Raises:
            SecurityError, OSError, BatchError: The check failed.
        """
        async with self._check:
            if self._checked:
                return
            spending = self._sender.spending
            self._until_deadline.enter_context(spending.until_deadline(self._sender.stop_at_limit))
            with suppress(NotSent):
                self._sender.reached = await self._sender.unless_stopped(lambda: check_router(self._client))
            self._checked = True

    async def outcome(self, row: Row | BadRow) -> Outcome | None:
        """Send a row and return its outcome; None if the batch stopped before the row had one."""
        async with self._slots:
            try:
                response = await self._sender.send(row)
            except (NotSent, DisposedError):
                return None
            except Exception as error:  # noqa: BLE001 - it is the row's outcome
                held_back = error.with_traceback(None) if self._sender.may_be_account_fault(error) else None
                return self._outcome(failed(row.line, row.custom_id, error), error, held_back=held_back)
        assert isinstance(row, Row)
        return self._outcome(answered(row, response), UNWRITABLE, tokens=tokens_of(response))

    def stop_if_account_at_fault(self, refusals: Sequence[APIError], *, earlier_answers: bool) -> None:
        """Stop at the end of a part's rows if the account may be at fault; see `Sender`."""
        self._sender.stop_if_account_at_fault(refusals, earlier_answers=earlier_answers)

    def _outcome(self, row: bytes, error: Exception, **more: Any) -> Outcome:
        """Return the outcome of a row; its failure is the error, if the row says so."""
        failure = None if is_success(row) else error
        return Outcome(row if self._seal is None else self._sealed(row, self._seal), failure=failure, **more)

    def _sealed(self, row: bytes, seal: Seal) -> bytes:
        mark = read_mark(row)
        assert mark is not None
        return seal(row, row_tokens(row, mark) if self._counts_tokens and not mark.failed else None)

    async def aclose(self) -> None:
        """Close the client."""
        self._until_deadline.close()
        if isinstance(self._sender.spending, ClusterSpending):
            self._sender.spending.close()
        await self._client.aclose()


class SecureCompletions:
    """Sends the rows of a Ray Data pipeline encrypted; a callable class for `map_batches`.

        answers = requests.map_batches(
            SecureCompletions,
            compute=ray.data.ActorPoolStrategy(size=2),
            fn_constructor_kwargs={"rate": 2.0},
        )

    Rows come as `read_lines` or `ray.data.read_text` has them, or as `ray.data.read_json` makes them of OpenAI's batch
    format. They leave as rows of `nomyo batch`: `id`, `custom_id`, `response` (its `body` as JSON text) and `error`.
    Prompts and answers lie in Ray's object store in clear.

    Args:
        requests_at_once: Requests under way in this actor; Ray's `concurrency` is the number of actors.
        rate: Requests a second, 0 for no limit. None takes that of `limits`.
        limits: The service's rules, which the whole cluster keeps for one API key. By default those of the public
            service at its address; elsewhere no rate, and a minute's pause for a 503.
        token_rate: Tokens a minute, which the whole cluster keeps for one API key; None takes those of `limits`.
        max_retries: Extra attempts of a row after 500, 502, 504 and timeouts.
        patience: Seconds for which the router may be away, or refuse with 429 or 503.
        api_key_file: Holds the API key, on each node; `NOMYO_API_KEY` of the node by default.
        key_password_file: Holds the password of the key pair in `key_dir`, on each node.
        client_options: As `SecureCompletionClient` takes them, with `base_url` for its `router_url`; but `timeout` is
            600 s by default, and keys are kept in memory unless `key_dir` names a directory of each node's.

    Raises:
        TypeError: An API key or a password is given, which Ray would store; an option has the wrong type.
        ValueError: An option is out of range.
    """

    @shows_actor_options
    def __init__(
        self,
        *,
        requests_at_once: int = 32,
        rate: float | None = None,
        limits: Limits | None = None,
        token_rate: int | None = None,
        max_retries: int = 2,
        patience: float = PATIENCE_S,
        api_key_file: str | os.PathLike[str] | None = None,
        key_password_file: str | os.PathLike[str] | None = None,
        **client_options: Unpack[BatchOptions],
    ) -> None:
        self._completions = Completions(
            Options(
                requests_at_once=requests_at_once,
                rate=rate,
                limits=limits,
                token_rate=token_rate,
                max_retries=max_retries,
                patience=patience,
                api_key_file=path_or_none(api_key_file),
                key_password_file=path_or_none(key_password_file),
                client_options=client_options,
            )
        )

    async def __call__(self, block: Any) -> pa.Table:
        """Return the answers to a block of requests, in their order.

        Raises:
            BatchError: The API key is refused, or the router was away for longer than `patience`.
            SecurityError: The router's key matches no pin.
            TypeError: `batch_format` is "pandas".
        """
        rows = rows_of(block)
        await self._completions.check_router()
        outcomes = await asyncio.gather(*(self._completions.outcome(row) for row in rows))
        done = [outcome.row for outcome in outcomes if outcome is not None]
        if len(done) < len(rows):
            raise self._completions.failure or BatchError("the batch stopped")
        return answers_of(done)

    async def aclose(self) -> None:
        """Close the client, if no actor that ends closes it."""
        await self._completions.aclose()


def path_or_none(path: str | os.PathLike[str] | None) -> str | None:
    """Return a path as text."""
    return None if path is None else os.fspath(path)


def _spending(options: Options) -> Spending:
    if options.ledger is None:
        return Spending(options.budget)
    return ClusterSpending(options.budget, options.ledger)


def _seal(options: Options) -> Seal | None:
    if options.seal_to_pem is None:
        return None
    key = _core.PublicKey.from_pem(options.seal_to_pem)
    return Seal(key, locked_required=options.client_options.get("secure_memory") == "require")


def _client(options: Options) -> SecureCompletionClient:
    """Return a client that does not retry (the sender does), and writes keys only into a `key_dir` that was given."""
    given = with_secrets(options.client_options, options.api_key_file, options.key_password_file)
    defaults = {"max_connections": options.requests_at_once, "key_dir": None, "key_rotation_dir": given.get("key_dir")}
    return SecureCompletionClient(**as_of_client({**defaults, **given}))
