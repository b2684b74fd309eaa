"""What is handed to the ledger, and what it hands back."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from operator import attrgetter
from typing import Any, NamedTuple

from responses_api.balancing import Weights
from responses_api.models import ResponseRecord, SessionMove


class Place(NamedTuple):
    """Where a session is found: the profile, the caller and the key are unique together."""

    profile_id: int
    caller_id: int
    key: str


@dataclass(frozen=True, slots=True)
class Pin:
    """A session and the endpoint that it is bound to; None if there was none to bind it to, or it was deleted.

    A session that was bound while the database was away has no id yet.
    """

    session_id: int | None
    endpoint_id: int | None


class Binding(NamedTuple):
    """How a session was bound while the database was away. Once it is back, the session is found, or made so."""

    place: Place
    endpoint_id: int | None
    at: datetime


class NamedItem(NamedTuple):
    """An item under its own id, as JSON."""

    item_id: str
    body: bytes


@dataclass(slots=True)
class Stored:
    """One row of the stored responses, column by column, and what is written with it."""

    response_id: str
    caller_id: int
    caller_name: str
    profile_name: str
    session_key: str
    status: str
    previous_response_id: str
    conversation_id: str
    background: bool
    created_at: datetime
    expires_at: datetime | None
    lease_until: datetime | None
    body: bytes
    input: bytes
    conversation_items: Sequence[NamedItem] = ()  # appended to the conversation
    named_items: Sequence[NamedItem] = ()  # found by their ids as long as the response is


@dataclass(frozen=True, slots=True)
class Change:
    """A change of what is stored, of a kind too rare to be written in bulk: a function of `ledger.changes`."""

    work: Callable[[], Any]


@dataclass(slots=True)
class Row:
    """One row of the ledger, column by column; and the response itself, if it is to be stored with it."""

    response_id: str
    api: str
    profile_name: str
    caller_name: str
    created_at: datetime
    session_id: int | None = None
    endpoint_name: str = ""
    status: str = ResponseRecord.Status.FAILED
    http_status: int = 500
    empty_cause: str = ""
    error_code: str = ""
    detail: str = ""
    finish_reason: str = ""
    attempts: int = 0
    input_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    context_limit: int | None = None
    asked_tokens: int | None = None
    duration_ms: int = 0
    engine_ms: int | None = None
    fingerprint: int | None = None  # the end of the answer, by which its conversation is known again
    stored: Stored | None = None
    binding: Binding | None = None  # instead of the session's id, if it has none yet


@dataclass(frozen=True, slots=True)
class Spooled:
    """What becomes of a row while the database is away: it is written, and how its session is bound is not known."""


@dataclass(frozen=True, slots=True)
class PinRequest:
    """Find the session at a place, or make it. `fresh`: the key was just made, so it cannot be there."""

    place: Place
    candidates: Mapping[int, str]  # endpoint names by id
    now: datetime
    fresh: bool = False
    weights: Weights = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Repin:
    """Bind a session to one of the candidates, if it is still bound to `old`."""

    place: Place
    session_id: int | None
    old: int | None
    old_name: str
    candidates: Mapping[int, str]
    reason: str
    now: datetime
    weights: Weights = field(default_factory=dict)


# What a row brings with it goes into other tables.
COLUMNS = tuple(column.name for column in fields(Row) if column.name not in {"fingerprint", "stored", "binding"})
STORED_COLUMNS = tuple(column.name for column in fields(Stored) if not column.name.endswith("_items"))
_values = attrgetter(*COLUMNS)
_lengths = {
    column.name: length
    for column in ResponseRecord._meta.concrete_fields
    if (length := getattr(column, "max_length", None))
}
LIMITS = {column: limit for column in COLUMNS if (limit := _lengths.get(column))}
_LIMITS = [LIMITS.get(column) for column in COLUMNS]
stored_values = attrgetter(*STORED_COLUMNS)
REASON_LENGTH: int = SessionMove._meta.get_field("reason").max_length or 0


def values(row: Row) -> list[Any]:
    """Return the row's values in the order of COLUMNS, each text such that every database takes it."""
    return [
        storable(value, limit) if limit and value and type(value) is str else value
        for value, limit in zip(_values(row), _LIMITS, strict=True)
    ]


def storable(text: str, limit: int) -> str:
    """Return the text cut to its column, without what a database refuses: NUL (PostgreSQL) and lone surrogates."""
    if text.isascii() and "\x00" not in text:
        return text[:limit]
    return text[:limit].replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
