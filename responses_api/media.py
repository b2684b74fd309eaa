"""What an engine would fetch for a request: addresses of images, audio, video and files. Pure.

An engine that fetches sits inside the operator's network, and callers name the address. A profile may forbid it; the
engine's own `--allowed-media-domains` allows some.
"""

from collections.abc import Iterator
from typing import Any

from responses_api import wire
from responses_api.errors import RequestError

REMOTE = ("http:", "https:", "ftp:", "file:")
# Under these names every API has them: as the address itself, or as an object that holds it.
NAMES = frozenset({"image_url", "video_url", "audio_url", "input_audio", "file_url", "url"})


def refuse_remote(body: bytes) -> None:
    """Raise RequestError if the request to an engine holds an address that it would fetch."""
    for address in _addresses(wire.json_object(body)):
        scheme = address.lstrip()[:8].lower()
        if scheme.startswith(REMOTE):
            raise RequestError(
                "This model takes media as data: URLs alone, and fetches none: "
                f"'{address[:100]}' is an address. Send its content instead.",
                code="unsupported_media",
            )


def _addresses(value: Any) -> Iterator[str]:
    """Yield the addresses in a request's messages or items. What tools say of their parameters is no message."""
    waiting = [value.get(name) for name in ("messages", "input", "system", "prompt") if name in value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, list):
            waiting.extend(found)
        elif isinstance(found, dict):
            yield from (each for name, each in found.items() if name in NAMES and isinstance(each, str))
            # The citations of an earlier answer name pages, which nobody fetches.
            waiting.extend(
                each for name, each in found.items() if name != "annotations" and isinstance(each, dict | list)
            )
