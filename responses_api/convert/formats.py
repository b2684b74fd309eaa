"""`text.format` of a request to the `response_format` of chat completions, one function a kind. Pure."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from responses_api import wire
from responses_api.convert.parts import unknown_kind


class JsonSchema(msgspec.Struct, forbid_unknown_fields=True):
    """`text.format` with a schema."""

    name: str
    schema: dict[str, Any]
    type: str = "json_schema"
    description: str | None = None
    strict: bool | None = None


def _plain(_format: dict[str, Any]) -> None:
    return None


def _json_object(_format: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_object"}


def _json_schema(given: dict[str, Any]) -> dict[str, Any]:
    read = wire.read(given, JsonSchema, "text.format")
    fields: dict[str, Any] = {"name": read.name, "schema": read.schema}
    if read.description is not None:
        fields["description"] = read.description
    if read.strict is not None:
        fields["strict"] = read.strict
    return {"type": "json_schema", "json_schema": fields}


FORMATS: Mapping[str, Callable[[dict[str, Any]], dict[str, Any] | None]] = {
    "text": _plain,
    "json_object": _json_object,
    "json_schema": _json_schema,
}


def response_format(given: dict[str, Any]) -> dict[str, Any] | None:
    """Return `text.format` as chat completions write it; None for plain text.

    Raises:
        RequestError: naming what is malformed.
    """
    kind = given.get("type")
    reader = FORMATS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        raise unknown_kind(kind, FORMATS, "text.format.type")
    return reader(given)
