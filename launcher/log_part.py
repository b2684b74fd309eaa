"""A part of a log that grows, in whole lines, from a place on.

A place counts bytes from the log's beginning. The end of a line that is still being written is left for the next time,
so that what is read can be searched and redacted line by line.
"""

from io import SEEK_END
from pathlib import Path

from launcher.cluster import LogPart

PART_BYTES = 262_144  # at a time
KEPT_BYTES = 4_000_000  # from the end; what lies before is passed over


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
