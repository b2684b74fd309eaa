"""What the fields of endpoints, profiles and keys refuse, each with a message that says what to write instead."""

import json
import math
import re
from pathlib import PurePosixPath

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator

from endpoints import base_url

name_validator = RegexValidator(
    r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$",
    "Use letters, digits and . _ : / - , beginning with a letter or a digit.",
)

MAX_JSON_DEPTH = 50


def validate_base_url(value: str) -> None:
    """Refuse a base URL with the message, and the corrected form, of the rule."""
    try:
        base_url.check(value)
    except base_url.BaseUrlError as error:
        raise ValidationError(str(error)) from None


def validate_finite(value: float) -> None:
    """Refuse what no limit holds: NaN is neither below nor above anything."""
    if not math.isfinite(value):
        raise ValidationError("Give a number.")


def validate_json_object(value: object) -> None:
    """Refuse JSON that is not an object."""
    if not isinstance(value, dict):
        raise ValidationError('Give a JSON object, for example {"temperature": 1.0}.')
    if _depth(value) > MAX_JSON_DEPTH:
        raise ValidationError(f"This is nested too deeply: {MAX_JSON_DEPTH} levels are allowed.")
    if "\\u0000" in json.dumps(value):
        raise ValidationError("A database stores no null characters (\\u0000).")
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValidationError("Half of a surrogate pair (\\ud800 to \\udfff) is no character.") from None


def _depth(value: object) -> int:
    depth, level = 0, [value]
    while level and depth <= MAX_JSON_DEPTH:
        depth += 1
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return depth


def validate_bearer(value: str) -> None:
    """Refuse a key that no HTTP header can carry."""
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ValidationError("A key is printable ASCII without blanks or line breaks.")


# RFC 9110's token.
_HEADER_NAME = re.compile(r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
# What the gateway and its HTTP client write themselves.
_GATEWAYS_HEADERS = frozenset({"authorization", "host", "connection", "transfer-encoding", "accept-encoding"})


def validate_headers(value: object) -> None:
    """Refuse headers that cannot be sent, or that the gateway sends itself."""
    validate_json_object(value)
    for name, text in value.items() if isinstance(value, dict) else ():
        if not _HEADER_NAME.match(name):
            raise ValidationError(f"{name!r} cannot be the name of an HTTP header.")
        if name.lower() in _GATEWAYS_HEADERS or name.lower().startswith("content-"):
            raise ValidationError(f"{name} is set by the gateway: the key belongs on the endpoint.")
        if not isinstance(text, str) or not text.isascii() or not text.isprintable():
            raise ValidationError(f"The value of {name} is text of printable ASCII characters.")


def validate_think_tag(value: str) -> None:
    """Refuse a tag that could not be found in text."""
    if not value.strip() or value != value.strip():
        raise ValidationError("A tag is not blank, and neither begins nor ends with a blank.")


def validate_audio_root(value: str) -> None:
    """Refuse a folder that is not named from the root."""
    path = PurePosixPath(value)
    if not path.is_absolute() or ".." in path.parts or path == PurePosixPath("/"):
        raise ValidationError("Give an absolute path to a folder, without '..', other than '/'.")
