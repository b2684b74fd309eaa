"""A file in a request as a content part: text becomes text, media becomes media, anything else is refused. Pure."""

import base64
import re
from collections.abc import Mapping
from typing import Any

from responses_api.errors import RequestError, UnsupportedError

_DATA_URL = re.compile(r"data:(?P<media_type>[^;,]*)[^,]*?(?P<coding>;base64)?,(?P<data>.*)", re.DOTALL | re.IGNORECASE)
# By the first half of a media type: the part of chat completions that holds such media.
MEDIA: Mapping[str, str] = {"image": "image_url", "audio": "audio_url", "video": "video_url"}
PDF = "%PDF-"  # a small one may pass for text, and no model reads it as such


def part_of_file(data: str, filename: str | None, at: str) -> dict[str, Any]:
    """Return the part for a file, which is a data URL or base64. The text of a file stands under its name.

    Raises:
        RequestError: if it is neither, or nothing that a chat completion can carry.
    """
    found = _DATA_URL.fullmatch(data)
    media_type = found["media_type"].lower() if found else ""
    if kind := MEDIA.get(media_type.partition("/")[0]):
        return {"type": kind, kind: {"url": data}}
    if found and not found["coding"]:
        raise RequestError(f"'{at}' is not base64.", param=at)
    try:
        text = base64.b64decode(found["data"] if found else data, validate=True).decode()
    except UnicodeDecodeError:
        text = "\0"
    except ValueError:
        raise RequestError(f"'{at}' is neither a data URL nor base64.", param=at) from None
    if "\0" in text or text.startswith(PDF):
        raise UnsupportedError(
            f"Of files, text, images, audio and video can be sent; this is {media_type or 'something else'}.", param=at
        )
    return {"type": "text", "text": f"{filename}:\n\n{text}" if filename else text}
