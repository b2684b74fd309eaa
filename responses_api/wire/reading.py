"""JSON into typed structures, and what does not fit into an error that names the parameter. Pure."""

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from responses_api.errors import RequestError

T = TypeVar("T")

encode = msgspec.json.Encoder().encode
object_decoder = msgspec.json.Decoder(dict[str, Any])


def json_object(body: bytes) -> dict[str, Any]:
    """Return the body's JSON object.

    Raises:
        RequestError: if it is something else.
    """
    return decoded(object_decoder, body)


def decoded(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Return what the body holds.

    Raises:
        RequestError: naming the parameter that does not fit.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise bad_shape(str(error)) from None
    except UnicodeDecodeError:
        raise RequestError("The request body is not valid JSON: it is not UTF-8.", code="invalid_json") from None
    except msgspec.DecodeError as error:
        raise RequestError(f"The request body is not valid JSON: {error}", code="invalid_json") from None
    except RecursionError:
        raise too_deep() from None


def too_deep() -> RequestError:
    """Return what a caller is told whose arrays and objects are inside too many others: about a thousand."""
    return RequestError("The request body is nested too deeply.", code="invalid_json")


def read(value: Any, kind: type[T], at: str) -> T:
    """Return the value as an instance of `kind`. `at` is its place in the request.

    Raises:
        RequestError: naming the parameter inside `at` that does not fit.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise bad_shape(str(error), at) from None


def check_types(body: Mapping[str, Any], *, required: Mapping[str, type], optional: Mapping[str, type]) -> None:
    """Check those of a body's fields that the gateway reads; the optional ones may be null.

    Raises:
        RequestError: naming the parameter that is missing or of a wrong type.
    """
    for name, kind in required.items():
        if name not in body:
            raise RequestError(f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")
        if not isinstance(body[name], kind):
            raise RequestError(f"Invalid type for '{name}'.", param=name, code="invalid_type")
    for name, kind in optional.items():
        if not isinstance(body.get(name), kind | None):
            raise RequestError(f"Invalid type for '{name}'.", param=name, code="invalid_type")


_PLACE = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>[^`]*)`)?$", re.DOTALL)
_FIELD = re.compile(r"^Object (?:contains unknown|missing required) field `(?P<name>.*)`$", re.DOTALL)


def bad_shape(problem: str, at: str = "") -> RequestError:
    """Return msgspec's complaint as an error that names the parameter, as `input[2].content[0].text`."""
    place = _PLACE.match(problem)
    what, path = (place["what"], place["path"] or "$") if place else (problem, "$")
    place_in, inner, _ = path.partition("[...]")  # how msgspec names the values of an object whose keys are free
    param = (at + place_in.removeprefix("$")).removeprefix(".")
    if field := _FIELD.match(what):
        param = f"{param}.{field['name']}".removeprefix(".")
        if "unknown" in what:
            return RequestError(f"Unknown parameter: '{param}'.", param=param, code="unknown_parameter")
        return RequestError(f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter")
    if what.startswith("Expected"):
        where = f"'{param}'" if param else "the request body"
        where = f"a value of {where}" if inner else where
        return RequestError(
            f"Invalid type for {where}: {what[0].lower()}{what[1:]}.", param=param or None, code="invalid_type"
        )
    if not param:  # in an object whose keys are free, msgspec does not say where
        return RequestError(f"The request body cannot be read: {what}.", code="invalid_json")
    return RequestError(f"Invalid value for '{param}': {what}.", param=param)
