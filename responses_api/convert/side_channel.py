"""What callers of any client can say in `metadata`: engine parameters, template arguments, audio. Pure.

The Responses API allows text alone as the values of `metadata`, so objects and lists are JSON in a string there. Chat
completions may hold them as they are.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from endpoints.profile_rules import GATEWAY_OWNED
from responses_api.errors import RequestError

# What an engine would take from callers as it takes it from a trusted proxy: addresses to fetch its cache from.
FOR_OPERATORS = frozenset({"kv_transfer_params", "ec_transfer_params"})
# By a file's extension.
AUDIO_TYPES: Mapping[str, str] = {
    ".wav": "audio/wav",
    ".flac": "audio/flac",
    ".mp3": "audio/mpeg",
    ".m4a": "audio/mp4",
    ".ogg": "audio/ogg",
    ".opus": "audio/opus",
}


class AudioFile(NamedTuple):
    """A file that a request names: by which path, and by which of its parameters."""

    path: str
    param: str


class SideChannel(NamedTuple):
    """What a request's metadata asks for; most ask for nothing."""

    extra_body: Mapping[str, Any] = {}
    chat_template_kwargs: Mapping[str, Any] = {}
    audio_data: tuple[str, ...] = ()  # data URLs
    audio_paths: tuple[AudioFile, ...] = ()  # below the profile's audio_root


NOTHING = SideChannel()
AUDIO = ("audio_data", "audio_path", "audio_paths")
KEYS = frozenset({"extra_body", "chat_template_kwargs", *AUDIO})
# Every request has these itself, and the request wins: harnesses send one extra_body with whatever they have.
ALWAYS_IN_THE_REQUEST = frozenset({"model", "messages"})


def read(metadata: Any) -> SideChannel:
    """Return what the metadata asks for.

    Raises:
        RequestError: naming the key whose value makes no sense.
    """
    if not isinstance(metadata, dict) or KEYS.isdisjoint(metadata):
        return NOTHING
    given = [name for name in AUDIO if metadata.get(name) is not None]
    if len(given) > 1:
        raise RequestError(f"Give one of {', '.join(AUDIO)}.", param=f"metadata.{given[1]}")
    asked = _object(metadata, "extra_body")
    extra_body = {name: value for name, value in asked.items() if name not in ALWAYS_IN_THE_REQUEST}
    for name in extra_body:
        if name in GATEWAY_OWNED or name in FOR_OPERATORS:
            raise RequestError(f"metadata.extra_body cannot set '{name}'.", param="metadata.extra_body")
    if not isinstance(extra_body.get("chat_template_kwargs"), dict | None):
        raise RequestError("chat_template_kwargs is an object.", param="metadata.extra_body")
    data = [_text(metadata[name], name) for name in given if name == "audio_data"]
    if data and not data[0][:5].lower() == "data:":
        raise RequestError("metadata.audio_data is a data URL.", param="metadata.audio_data")
    return SideChannel(extra_body, _object(metadata, "chat_template_kwargs"), tuple(data), _paths(metadata))


def without(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return the metadata without what was for the gateway."""
    return {name: value for name, value in metadata.items() if name not in KEYS}


def _object(metadata: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = _decoded(metadata.get(name), name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise RequestError(f"metadata.{name} is a JSON object.", param=f"metadata.{name}")
    return found


def _paths(metadata: Mapping[str, Any]) -> tuple[AudioFile, ...]:
    if (path := metadata.get("audio_path")) is not None:
        return (AudioFile(_text(path, "audio_path"), "metadata.audio_path"),)
    found = _decoded(metadata.get("audio_paths"), "audio_paths")
    if found is None:
        return ()
    if not isinstance(found, list):
        raise RequestError("metadata.audio_paths is a JSON list.", param="metadata.audio_paths")
    names = [f"audio_paths[{index}]" for index in range(len(found))]
    return tuple(AudioFile(_text(path, name), f"metadata.{name}") for path, name in zip(found, names, strict=True))


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise RequestError(f"Invalid type for 'metadata.{name}'.", param=f"metadata.{name}", code="invalid_type")
    return value


def _decoded(value: Any, name: str) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value)
    except (ValueError, RecursionError):
        raise RequestError(f"metadata.{name} is not valid JSON.", param=f"metadata.{name}") from None


def with_audio(messages: list[Any], urls: Sequence[str]) -> list[Any]:
    """Return the messages with audio before what the most recent message of the user says."""
    if not urls:
        return messages
    audio: list[Any] = [{"type": "audio_url", "audio_url": {"url": url}} for url in urls]
    for place in range(len(messages) - 1, -1, -1):
        message = messages[place]
        if isinstance(message, dict) and message.get("role") == "user":
            content = message.get("content")
            said = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
            return [*messages[:place], {**message, "content": [*audio, *said]}, *messages[place + 1 :]]
    return [*messages, {"role": "user", "content": audio}]
