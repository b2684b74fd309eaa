"""A part of a log that grows, in whole lines, from a place on.

A place counts bytes from the log's beginning. The end of a line that is still being written is left for the next time,
so that what is read can be searched and redacted line by line.
"""

import contextlib
import ctypes
from io import SEEK_END
from pathlib import Path

from launcher.cluster import LogPart

PART_BYTES = 262_144  # at a time
KEPT_BYTES = 4_000_000  # from the end; what lies before is passed over
DISK_BYTES = 4 * KEPT_BYTES  # that a log may take while it grows
BLOCK = 512  # bytes, as `st_blocks` counts
KEEP_SIZE, PUNCH_HOLE = 1, 2  # of Linux's fallocate


def begin(size: int, place: int) -> int:
    """Return where to read on in a log of that size. A negative place counts from the end."""
    if place < 0:
        place += size
    return max(place if 0 <= place <= size else 0, size - KEPT_BYTES)


def read(path: Path, place: int, *, last: bool) -> LogPart | None:
    """Return the part of a file after a place; None if it cannot be read."""
    try:
        with path.open("rb") as file:
            began = begin(file.seek(0, SEEK_END), place)
            file.seek(began)
            return cut(file.read(PART_BYTES), began, first=began not in {0, place}, last=last)
    except OSError:
        return None


def give_back(path: Path) -> None:
    """Give back the disk under the beginning of a large log that is still written to; its places stay what they are.

    Where that cannot be done (Linux can, on all but rare file systems) it grows on.
    """
    with contextlib.suppress(OSError, AttributeError):
        if path.stat().st_blocks * BLOCK <= DISK_BYTES:
            return
        with path.open("r+b") as file:
            unread = file.seek(0, SEEK_END) - 2 * KEPT_BYTES
            ctypes.CDLL(None).fallocate(
                file.fileno(), KEEP_SIZE | PUNCH_HOLE, ctypes.c_longlong(0), ctypes.c_longlong(unread)
            )


def cut(data: bytes, began: int, *, first: bool, last: bool) -> LogPart:
    """Return the whole lines of what was read from a place on.

    `first`: something lies before it that nobody read, so that its first line may be half of one. `last`: nothing will
    be added to its last line. A line longer than a part is cut.
    """
    skip = data.find(b"\n") + 1 if first else 0
    full = len(data) >= PART_BYTES
    end = len(data) if last and not full else data.rfind(b"\n") + 1
    if not end and full:
        skip, end = 0, len(data)
    return LogPart(data[skip:end].decode(errors="replace"), began + skip, began + max(skip, end))
