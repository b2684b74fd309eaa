"""What is handed to the ledger, and what it hands back."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from operator import attrgetter
from typing import Any, NamedTuple

from responses_api.models import ResponseRecord, SessionMove


class Place(NamedTuple):
    """Where a session is found: the profile, the caller and the key are unique together."""

    profile_id: int
    caller_id: int
    key: str


@dataclass(frozen=True, slots=True)
class Pin:
    """A session and the endpoint that it is bound to; None if there was none to bind it to, or it was deleted."""

    session_id: int
    endpoint_id: int | None


@dataclass(slots=True)
class Row:
    """One row of the ledger, column by column."""

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
    duration_ms: int = 0
    engine_ms: int | None = None


@dataclass(frozen=True, slots=True)
class PinRequest:
    """Find the session at a place, or make it. `fresh`: the key was just made, so it cannot be there."""

    place: Place
    candidates: Mapping[int, str]  # endpoint names by id
    now: datetime
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Repin:
    """Bind a session to one of the candidates, if it is still bound to `old`."""

    place: Place
    session_id: int
    old: int | None
    old_name: str
    candidates: Mapping[int, str]
    reason: str
    now: datetime


COLUMNS = tuple(column.name for column in fields(Row))
_values = attrgetter(*COLUMNS)
_lengths = {
    field.name: length
    for field in ResponseRecord._meta.concrete_fields
    if (length := getattr(field, "max_length", None))
}
_LIMITS = [_lengths.get(column) for column in COLUMNS]
REASON_LENGTH: int = SessionMove._meta.get_field("reason").max_length or 0


def values(row: Row) -> list[Any]:
    """Return the row's values in the order of COLUMNS, each text such that every database takes it."""
    return [
        storable(value, limit) if limit and type(value) is str else value
        for value, limit in zip(_values(row), _LIMITS, strict=True)
    ]


def storable(text: str, limit: int) -> str:
    """Return the text cut to its column, without what a database refuses: NUL (PostgreSQL) and lone surrogates."""
    if text.isascii() and "\x00" not in text:
        return text[:limit]
    return text[:limit].replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
