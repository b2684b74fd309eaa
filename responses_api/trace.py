"""What is known of a request so far. It ends as a ledger row and as the headers of the answer."""

import logging
import random
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from responses_api import affinity
from responses_api.affinity import SessionKey
from responses_api.convert.answer import Answer
from responses_api.convert.exchange import Exchange
from responses_api.convert.resource import Stamp
from responses_api.directory import Caller, EndpointView, ProfileView
from responses_api.errors import GatewayError, InternalError
from responses_api.ledger import Pin, Place, Row
from responses_api.models import ResponseRecord
from responses_api.verdict import Cause, Overflow, classify

logger = logging.getLogger(__name__)

JSON = "application/json"
# What nginx calls a request whose client left; nobody is sent it.
CLIENT_LEFT_STATUS = 499


def new_id(prefix: str) -> str:
    """Return a fresh id: the prefix and 32 random hexadecimal digits. Ids are unique, not secret."""
    return f"{prefix}_{random.getrandbits(128):032x}"  # uuid4 would ask the kernel, several times a request


@dataclass(slots=True)
class Arrival:
    """A request as it came in: its headers by small-letter name, and when (monotonic clock, and wall clock)."""

    headers: dict[str, str]
    body: bytes
    request_id: str
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
    session: SessionKey | None = None
    place: Place | None = None
    pin: Pin | None = None
    endpoint: EndpointView | None = None
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
        return cls(arrival, exchange, caller, profile, row)

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
        self.row.empty_cause = classify(said) or ""
        if answer.status == ResponseRecord.Status.FAILED:
            self.row.error_code = "engine_aborted"
        if said.usage is not None:
            self.row.input_tokens, self.row.output_tokens = said.usage.input_tokens, said.usage.output_tokens
            self.row.cached_tokens, self.row.reasoning_tokens = said.usage.cached_tokens, said.usage.reasoning_tokens

    def overflowed(self, overflow: Overflow) -> None:
        """Note that the prompt did not fit, so that the answer is empty."""
        self.row.status = ResponseRecord.Status.INCOMPLETE
        self.row.http_status = 200
        self.row.empty_cause = Cause.CONTEXT_OVERFLOW
        self.row.detail = overflow.message
        self.row.input_tokens = overflow.prompt

    def failed(self, error: GatewayError) -> None:
        """Note what the caller is told."""
        self.row.status = ResponseRecord.Status.FAILED
        self.row.http_status = error.status
        self.row.empty_cause = ""
        self.row.error_code = error.code or ""
        self.row.detail = error.message

    def broke(self, error: GatewayError) -> None:
        """Note what the caller is told in a stream that had begun, so that its HTTP status was sent."""
        self.failed(error)
        self.row.http_status = 200

    def abandoned(self) -> None:
        """Note that the caller has left."""
        self.row.status = ResponseRecord.Status.FAILED
        self.row.http_status = CLIENT_LEFT_STATUS
        self.row.error_code = "client_left"

    def stamp(self) -> Stamp:
        """Return the ids and times of an answer that is written now."""
        return Stamp(self.row.response_id, int(self.arrival.at), int(time.time()), new_id)

    def finish(self) -> Row:
        """Return the row, complete with its times and its engine."""
        self.row.endpoint_name = self.endpoint.name if self.endpoint else ""
        self.row.duration_ms = int((time.monotonic() - self.arrival.clock) * 1000)
        self.row.engine_ms = int(self.engine_seconds * 1000) if self.row.attempts else None
        return self.row

    def headers(self, cookie_secret: bytes, *, secure_cookies: bool) -> list[tuple[str, str]]:
        """Return the headers by which the caller finds its session again and an operator finds the engine."""
        found: list[tuple[str, str]] = []
        if self.session is not None:
            found.append(("X-Session-ID", self.session.key))
            if self.session.fresh:
                cookie = affinity.set_cookie(self.session.key, cookie_secret, secure=secure_cookies)
                found.append(("Set-Cookie", cookie))
        if self.endpoint is not None:
            found.append(("X-Roundhouse-Endpoint", self.endpoint.name))
        return found
