"""What is known of a request so far. It ends as a ledger row and as the headers of the answer."""

import logging
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from responses_api import affinity, wire
from responses_api.affinity import SessionKey
from responses_api.convert.answer import Answer
from responses_api.convert.exchange import Exchange
from responses_api.convert.items import Item
from responses_api.convert.kept import ItemIds, Kept
from responses_api.convert.resource import Stamp
from responses_api.errors import GatewayError, InternalError
from responses_api.fingerprint import Trail
from responses_api.ledger import NamedItem, Pin, Place, Row, Stored
from responses_api.models import ResponseRecord
from responses_api.snapshot import Caller, EndpointView, ProfileView
from responses_api.verdict import Cause, Overflow, classify

logger = logging.getLogger(__name__)

JSON = "application/json"
# What nginx calls a request whose client left; nobody is sent it.
CLIENT_LEFT_STATUS = 499


def new_id(prefix: str) -> str:
    """Return a fresh id: the prefix and 32 hexadecimal digits. Ids are unique, not secret.

    The first 12 digits are the time in milliseconds, so that a database finds the place of the next id beside the last
    one's: ids without order cost it a page each. uuid4 would ask the kernel, several times a request.
    """
    return f"{prefix}_{int(time.time() * 1000) << 80 | random.getrandbits(80):032x}"


@dataclass(slots=True)
class Arrival:
    """A request as it came in: its headers by small-letter name, and when (monotonic clock, and wall clock)."""

    headers: dict[str, str]
    body: bytes
    request_id: str
    error_body: Callable[[GatewayError], dict[str, object]] = GatewayError.body  # as the path that was called has it
    clock: float = field(default_factory=time.monotonic)
    at: float = field(default_factory=time.time)


@dataclass(slots=True)
class Reply:
    """What goes back, if it goes back at once."""

    status: int
    body: bytes
    headers: list[tuple[str, str]] = field(default_factory=list)
    content_type: str = JSON


def ours(arrival: Arrival, error: Exception) -> GatewayError:
    """Return what the caller is told of an error. One that is none of ours is a bug, and is logged."""
    if isinstance(error, GatewayError):
        return error
    if isinstance(error, RecursionError):  # it could just be read, and cannot be written with something around it
        logger.warning("Request %s is nested too deeply.", arrival.request_id)
        return wire.too_deep()
    logger.error("Request %s ended in an unexpected error.", arrival.request_id, exc_info=error)
    return InternalError(arrival.request_id)


@dataclass(slots=True)
class Trace:
    """A request on its way, from the moment its profile is known."""

    arrival: Arrival
    exchange: Exchange
    caller: Caller
    profile: ProfileView
    row: Row
    new_item_id: ItemIds
    continued: str = ""  # the session of what the request continues
    keep_days: int = 0  # how long it is stored, if it is; 0: for ever
    trail: Trail | None = None  # what was said so far, if the session is to be known by it
    session: SessionKey | None = None
    place: Place | None = None
    pin: Pin | None = None
    endpoint: EndpointView | None = None
    attempt: int = 0
    seat: EndpointView | None = None  # the endpoint, if it has a limit and the request counts
    limit_headers: list[tuple[str, str]] = field(default_factory=list)  # what is left of the caller's limit
    is_trial: bool = False  # whether it is the one that tries an endpoint that gave no answer lately
    engine_seconds: float = 0.0

    @classmethod
    def begin(
        cls, arrival: Arrival, exchange: Exchange, caller: Caller, profile: ProfileView, response_id: str
    ) -> "Trace":
        """Return the trace of a request that may be served."""
        row = Row(
            response_id=response_id,
            api=exchange.api,
            profile_name=profile.settings.name,
            caller_name=caller.name,
            created_at=datetime.fromtimestamp(arrival.at, UTC),
        )
        return cls(arrival, exchange, caller, profile, row, ItemIds(response_id))

    def waiting_for_engine(self) -> "Waiting":
        """Count the time inside as the engine's; it begins with how many seconds of the request's are left."""
        self.row.attempts = self.attempt
        return Waiting(self)

    def seconds_left(self) -> float:
        """Return how many seconds of the whole answer's time are left; below 0 if none."""
        return self.profile.timeout_seconds - (time.monotonic() - self.arrival.clock)

    def rebind(self) -> None:
        """Note which endpoint it is now, after a look at the pool; none if that one is not in it any more."""
        bound = self.pin.endpoint_id if self.pin else self.endpoint and self.endpoint.id
        self.endpoint = self.profile.usable.get(bound or 0)

    def bind(self, pin: Pin) -> None:
        """Note which session it is, and which endpoint serves it, if that one can be asked."""
        self.pin = pin
        self.endpoint = self.profile.usable.get(pin.endpoint_id or 0)
        self.row.session_id = pin.session_id

    def answered(self, answer: Answer) -> None:
        """Note what the engine generated."""
        said = answer.generation
        self.row.status = answer.status
        self.row.http_status = 200
        self.row.finish_reason = said.finish_reason
        self.row.empty_cause = (classify(said) or "") if self.exchange.generates else ""
        if answer.status == ResponseRecord.Status.FAILED:
            self.row.error_code = "engine_aborted"
        if self.trail is not None and answer.status != ResponseRecord.Status.FAILED:
            self.row.fingerprint = self.trail.after(self.exchange.reply(said))
        if said.usage is not None:
            self.row.input_tokens, self.row.output_tokens = said.usage.input_tokens, said.usage.output_tokens
            self.row.cached_tokens, self.row.reasoning_tokens = said.usage.cached_tokens, said.usage.reasoning_tokens

    def answered_alone(self, answer: Answer) -> None:
        """Note that no engine was asked, so that there is nothing to judge."""
        self.row.status = answer.status
        self.row.empty_cause = answer.cause
        self.row.finish_reason = answer.generation.finish_reason
        self.row.http_status = 200

    def overflowed(self, overflow: Overflow) -> None:
        """Note that the prompt did not fit, so that the answer is empty."""
        self.row.status = ResponseRecord.Status.INCOMPLETE
        self.row.http_status = 200
        self.row.empty_cause = Cause.CONTEXT_OVERFLOW
        self.row.detail = overflow.message
        self.row.input_tokens = overflow.prompt
        self.row.context_limit, self.row.asked_tokens = overflow.limit, overflow.asked

    def failed(self, error: GatewayError) -> None:
        """Note what the caller is told."""
        self.row.status = ResponseRecord.Status.FAILED
        self.row.fingerprint = None
        self.row.http_status = error.status
        self.row.empty_cause = ""
        self.row.error_code = error.code or ""
        self.row.detail = error.message

    def broke(self, error: GatewayError) -> None:
        """Note what the caller is told in a stream that had begun, so that its HTTP status was sent."""
        self.failed(error)
        self.row.http_status = 200

    def abandoned(self) -> None:
        """Note that the caller has left, or does not want the answer any more."""
        self.row.status = ResponseRecord.Status.FAILED
        self.row.http_status = CLIENT_LEFT_STATUS
        self.row.error_code = "cancelled" if self.exchange.in_background else "client_left"

    def stamp(self) -> Stamp:
        """Return the ids and times of an answer that is written now."""
        return Stamp(self.row.response_id, int(self.arrival.at), int(time.time()), self.new_item_id)

    def finish(self) -> Row:
        """Return the row, complete with its times and its engine, and what is stored with it."""
        self.row.endpoint_name = self.endpoint.name if self.endpoint else ""
        self.row.duration_ms = int((time.monotonic() - self.arrival.clock) * 1000)
        self.row.engine_ms = int(self.engine_seconds * 1000) if self.row.attempts else None
        if (kept := self.exchange.kept()) is not None:
            self.row.stored = self.stored(kept)
        return self.row

    def stored(self, kept: Kept) -> Stored:
        """Return what is stored of a response."""
        resource, conversation = kept.resource, kept.resource.get("conversation")
        return Stored(
            response_id=self.row.response_id,
            caller_id=self.caller.id,
            caller_name=self.caller.name,
            profile_name=self.row.profile_name,
            session_key=self.session.key if self.session else self.continued,
            status=resource["status"],
            previous_response_id=resource["previous_response_id"] or "",
            conversation_id=conversation["id"] if conversation else "",
            background=self.exchange.in_background,
            created_at=self.row.created_at,
            expires_at=self.row.created_at + timedelta(days=self.keep_days) if self.keep_days else None,
            lease_until=None,
            body=wire.encode(resource),
            input=wire.encode(kept.input),
            conversation_items=_named(kept.conversation_items),
            named_items=_named(kept.named_items),
        )

    def headers(self, cookie_secret: bytes, *, secure_cookies: bool) -> list[tuple[str, str]]:
        """Return the headers by which the caller finds its session again and an operator finds the engine."""
        found: list[tuple[str, str]] = []
        if self.session is not None:
            found.append(("X-Session-ID", self.session.key))
            if self.session.fresh and self.trail is not None:
                cookie = affinity.set_cookie(self.session.key, self.trail.opening, cookie_secret, secure=secure_cookies)
                found.append(("Set-Cookie", cookie))
        if self.endpoint is not None:
            found.append(("X-Roundhouse-Endpoint", self.endpoint.name))
        return found + self.limit_headers + self.exchange.headers()


class Waiting:
    """The time in which an engine works on a request. Entered, it returns the seconds that it may take, never none."""

    __slots__ = ("_started", "_trace")

    def __init__(self, trace: Trace) -> None:
        self._trace = trace

    def __enter__(self) -> float:
        self._started = time.monotonic()
        return max(self._trace.seconds_left(), 0.001)

    def __exit__(self, *_: object) -> None:
        self._trace.engine_seconds += time.monotonic() - self._started


def _named(items: Iterable[Item]) -> list[NamedItem]:
    return [NamedItem(item["id"], wire.encode(item)) for item in items]
