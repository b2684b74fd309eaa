"""Content parts of messages and tool outputs: Responses to chat completions, one function a kind. Pure.

Parts in the shape of chat completions are taken too. Media is given as data or by an http(s) address, which the engine
fetches; whatever else an address may name (a file of the engine's machine) is refused.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from responses_api import wire
from responses_api.convert.files import part_of_file
from responses_api.errors import RequestError, UnsupportedError

Part = dict[str, Any]
PartReader = Callable[[Part, str], Part]


class Text(msgspec.Struct):
    """`input_text`, `output_text`, `summary_text`, `reasoning_text` and `text`."""

    text: str


class Refusal(msgspec.Struct):
    """`refusal`: the model said no, in these words."""

    refusal: str


class Address(msgspec.Struct):
    """The chat completions' way to write where media is."""

    url: str
    detail: Literal["auto", "low", "high", "original"] | None = None


class Image(msgspec.Struct):
    """`input_image`, and `image_url` of chat completions."""

    image_url: str | Address | None = None
    file_id: str | None = None
    detail: Literal["auto", "low", "high", "original"] | None = None


class Video(msgspec.Struct):
    """`input_video`, and `video_url` of chat completions."""

    video_url: str | Address | None = None
    video: str | Address | None = None


class Audio(msgspec.Struct):
    """`audio_url` of chat completions."""

    audio_url: str | Address


class AudioData(msgspec.Struct):
    """What `input_audio` holds."""

    data: str
    format: str


class InputAudio(msgspec.Struct):
    """`input_audio`."""

    input_audio: AudioData


class File(msgspec.Struct):
    """`input_file`."""

    file_data: str | None = None
    filename: str | None = None
    file_id: str | None = None
    file_url: str | None = None


def _text(part: Part, at: str) -> Part:
    return {"type": "text", "text": wire.read(part, Text, at).text}


def _refusal(part: Part, at: str) -> Part:
    """The words of a refusal go back as text: engines know no refusals, and the model should see what it said."""
    return {"type": "text", "text": wire.read(part, Refusal, at).refusal}


def _no_storage(file_id: str | None, at: str, instead: str) -> None:
    if file_id is not None:
        raise UnsupportedError(f"There is no file storage: give it as {instead}.", param=f"{at}.file_id")


def _image(part: Part, at: str) -> Part:
    image = wire.read(part, Image, at)
    _no_storage(image.file_id, at, "image_url")
    url = address(image.image_url, f"{at}.image_url")
    detail = image.detail or (image.image_url.detail if isinstance(image.image_url, Address) else None)
    return {"type": "image_url", "image_url": {"url": url, "detail": detail or "auto"}}


def _video(part: Part, at: str) -> Part:
    video = wire.read(part, Video, at)
    given, name = (video.video, "video") if video.video_url is None and video.video else (video.video_url, "video_url")
    return {"type": "video_url", "video_url": {"url": address(given, f"{at}.{name}")}}


def _audio_url(part: Part, at: str) -> Part:
    return {"type": "audio_url", "audio_url": {"url": address(wire.read(part, Audio, at).audio_url, f"{at}.audio_url")}}


def _input_audio(part: Part, at: str) -> Part:
    audio = wire.read(part, InputAudio, at).input_audio
    return {"type": "input_audio", "input_audio": {"data": audio.data, "format": audio.format}}


def _file(part: Part, at: str) -> Part:
    file = wire.read(part, File, at)
    _no_storage(file.file_id, at, "file_data")
    if file.file_url is not None:
        raise UnsupportedError("No file is fetched: give it as file_data.", param=f"{at}.file_url")
    if file.file_data is None:
        raise RequestError(f"'{at}.file_data' is missing.", param=f"{at}.file_data", code="missing_required_parameter")
    return part_of_file(file.file_data, file.filename, f"{at}.file_data")


SCHEMES = ("https:", "http:", "data:")


def address(given: str | Address | None, at: str) -> str:
    """Return where media is.

    Raises:
        RequestError: if that is not said, or is no address that an engine may be sent to.
    """
    if given is None:
        raise RequestError(f"'{at}' is missing.", param=at, code="missing_required_parameter")
    url = given if isinstance(given, str) else given.url
    if not url[:8].lower().startswith(SCHEMES):
        raise RequestError(f"'{at}' is a data URL or an http(s) URL.", param=at)
    return url


# What may stand where. A kind that is missing is refused by name.
_TEXTS: Mapping[str, PartReader] = {"input_text": _text, "text": _text, "output_text": _text}
_MEDIA: Mapping[str, PartReader] = {
    "input_image": _image,
    "image_url": _image,
    "input_file": _file,
    "input_audio": _input_audio,
    "audio_url": _audio_url,
    "input_video": _video,
    "video_url": _video,
}
INPUT: Mapping[str, PartReader] = {**_TEXTS, "refusal": _refusal, **_MEDIA}
OUTPUT: Mapping[str, PartReader] = {**_TEXTS, "refusal": _refusal}
TOOL_OUTPUT = INPUT


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
    if not isinstance(kind, str):
        return RequestError(f"Invalid type for '{at}': expected `str`.", param=at, code="invalid_type")
    there = ", ".join(f"'{name}'" for name in known)
    return RequestError(f"Invalid value for '{at}': '{kind}'. Supported here: {there}.", param=at)
