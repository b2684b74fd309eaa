"""Content parts of messages and tool outputs: Responses to chat completions, one function a kind. Pure."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from responses_api import wire
from responses_api.errors import RequestError, UnsupportedError

Part = dict[str, Any]
PartReader = Callable[[Part, str], Part]


class Text(msgspec.Struct):
    """`input_text`, `output_text` and `text`."""

    text: str


class Refusal(msgspec.Struct):
    """`refusal`: the model said no, in these words."""

    refusal: str


class ImageUrl(msgspec.Struct):
    """The chat completions' way to write an image's address."""

    url: str


class Image(msgspec.Struct):
    """`input_image`."""

    image_url: str | ImageUrl | None = None
    file_id: str | None = None
    detail: Literal["auto", "low", "high", "original"] | None = None


def _text(part: Part, at: str) -> Part:
    return {"type": "text", "text": wire.read(part, Text, at).text}


def _refusal(part: Part, at: str) -> Part:
    """The words of a refusal go back as text: engines know no refusals, and the model should see what it said."""
    return {"type": "text", "text": wire.read(part, Refusal, at).refusal}


def _image(part: Part, at: str) -> Part:
    image = wire.read(part, Image, at)
    if image.file_id is not None:
        raise UnsupportedError("There is no file storage: give the image as image_url.", param=f"{at}.file_id")
    if image.image_url is None:
        raise RequestError(f"'{at}.image_url' is missing.", param=f"{at}.image_url", code="missing_required_parameter")
    url = image.image_url if isinstance(image.image_url, str) else image.image_url.url
    return {"type": "image_url", "image_url": {"url": url, "detail": image.detail or "auto"}}


# What may stand where. A kind that is missing is refused by name.
INPUT: Mapping[str, PartReader] = {"input_text": _text, "input_image": _image}
OUTPUT: Mapping[str, PartReader] = {"output_text": _text, "input_text": _text, "text": _text, "refusal": _refusal}
TOOL_OUTPUT: Mapping[str, PartReader] = {"input_text": _text}


def read_all(parts: list[Part], readers: Mapping[str, PartReader], at: str) -> list[Part]:
    """Return the parts as chat completions write them. `at` is the place of the list in the request.

    Raises:
        RequestError: naming the part that is malformed or of a kind that does not belong here.
    """
    return [_read(part, readers, f"{at}[{index}]") for index, part in enumerate(parts)]


def _read(part: Part, readers: Mapping[str, PartReader], at: str) -> Part:
    kind = part.get("type")
    reader = readers.get(kind) if isinstance(kind, str) else None
    if reader is None:
        raise unknown_kind(kind, readers, f"{at}.type")
    return reader(part, at)


def unknown_kind(kind: object, known: Mapping[str, object], at: str) -> RequestError:
    """Return the error for a `type` that is not in the table."""
    if kind is None:
        return RequestError(f"Missing required parameter: '{at}'.", param=at, code="missing_required_parameter")
    there = ", ".join(f"'{name}'" for name in known)
    return RequestError(f"Invalid value for '{at}': {kind!r}. Supported here: {there}.", param=at)
