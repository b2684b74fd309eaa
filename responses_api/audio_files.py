"""The files that requests name for their audio, below a profile's `audio_root`. The only place that reads them."""

import asyncio
import base64
from collections.abc import Sequence
from pathlib import Path

from responses_api.convert.side_channel import AUDIO_TYPES, AudioFile
from responses_api.errors import RequestError

MAX_BYTES = 64 * 2**20  # of one file


async def read(root: str, files: Sequence[AudioFile]) -> list[str]:
    """Return the files as data URLs, without keeping the event loop.

    Raises:
        RequestError: naming the parameter whose path leads out of the root, or to no audio file.
    """
    if not root:
        param = files[0].param.partition("[")[0]
        raise RequestError("This model reads no audio files: its profile has no audio_root.", param=param)
    return await asyncio.to_thread(lambda: [_read(Path(root), *file) for file in files])


def _read(root: Path, path: str, param: str) -> str:
    kind = AUDIO_TYPES.get(Path(path).suffix.lower())
    if kind is None:
        raise RequestError(f"'{path}' is no audio file: {', '.join(AUDIO_TYPES)} are.", param=param)
    try:
        found = (root / path).resolve()
        inside = found.is_relative_to(root.resolve()) and ".." not in Path(path).parts
        if not inside or not found.is_file():
            raise RequestError(f"There is no audio file '{path}'.", param=param)
        if found.stat().st_size > MAX_BYTES:
            raise RequestError(f"'{path}' is larger than {MAX_BYTES // 2**20} MiB.", param=param)
        data = found.read_bytes()
    except (OSError, ValueError):  # ValueError: a null byte in the path
        raise RequestError(f"There is no audio file '{path}' that can be read.", param=param) from None
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
