"""The door to the spool: files of lines that wait for the database. One file a process, one line an entry.

A file belongs to the process that has locked it. The lock ends with the process, however that ends; whoever locks the
file next, owns it.
"""

import fcntl
import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from responses_api.ledger.rows import LIMITS, Repin, Row, storable

SUFFIX = ".jsonl"
REFUSED = "refused.lines"
# How much is read at once: lines, and bytes.
MAX_LINES = 500
MAX_BYTES = 16 * 2**20
ROOM = 2**18


class Entry(msgspec.Struct, omit_defaults=True):
    """One line: a row with what is stored with it, or a session's move to its one candidate."""

    row: Row | None = None
    move: Repin | None = None


_decoder = msgspec.json.Decoder(Entry)


class SpoolFullError(OSError):
    """The spool holds as much as it may."""


def encode(entry: Row | Repin) -> bytes:
    """Return the line of an entry."""
    if isinstance(entry, Repin):
        return msgspec.json.encode(Entry(move=entry)) + b"\n"
    try:
        return msgspec.json.encode(Entry(row=entry)) + b"\n"
    except UnicodeEncodeError:  # an engine's words with half a character in them
        cleaned: dict[str, Any] = {name: storable(getattr(entry, name), limit) for name, limit in LIMITS.items()}
        return msgspec.json.encode(Entry(row=replace(entry, **cleaned))) + b"\n"


def decode(line: bytes) -> Row | Repin:
    """Return the entry of a line. Raises ValueError if it is damaged."""
    entry = _decoder.decode(line)
    if (found := entry.row or entry.move) is None:
        raise ValueError("The line is empty.")
    return found


class Spool:
    """One locked file. Every call raises OSError if the disk does not do what it should."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self._fd = fd
        self.size = os.fstat(fd).st_size  # bytes

    @classmethod
    def new(cls, folder: Path) -> "Spool":
        """Make a file of this process's own. It has its name only once it is locked, so that nobody else takes it."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / f"{os.getpid()}-{secrets.token_hex(8)}{SUFFIX}"
        unnamed = path.with_suffix(".new")
        fd = os.open(unnamed, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
        unnamed.rename(path)
        _sync_folder(folder)
        return cls(path, fd)

    def append(self, lines: Sequence[bytes], *, max_bytes: int) -> None:
        """Return once the lines are on the disk. If they are not, none of them is in the file."""
        data = b"".join(lines)
        if self.size + len(data) > max_bytes:
            raise SpoolFullError(f"The spool {self.path} holds {self.size:,} bytes, and may hold {max_bytes:,}.")
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._fd, view) :]
            os.fsync(self._fd)
        except OSError:
            os.ftruncate(self._fd, self.size)
            raise
        self.size += len(data)

    def read(self, start: int) -> tuple[list[bytes], int]:
        """Return some lines from an offset, and the offset behind them. Half a line at the end is none: its process was
        killed while it wrote it, and has told nobody.
        """
        lines: list[bytes] = []
        size = 0
        with self.path.open("rb") as file:
            file.seek(start)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                lines.append(line)
                size += len(line)
                if len(lines) == MAX_LINES or size > MAX_BYTES:
                    break
        return lines, start + size

    def remove(self) -> None:
        """Remove the file: all of it is in the database."""
        self.path.unlink()
        self.close()

    def close(self) -> None:
        """Let the file go, to whoever comes next."""
        os.close(self._fd)


def left_behind(folder: Path) -> Iterator[Spool]:
    """Lock the files of processes that are gone, one after the other; whoever gets one closes or removes it."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            fd = os.open(path, os.O_WRONLY | os.O_APPEND)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_it = path.stat().st_ino == os.fstat(fd).st_ino
        except (BlockingIOError, FileNotFoundError):
            is_it = False
        if is_it:
            yield Spool(path, fd)
        else:
            os.close(fd)


def set_aside(folder: Path, lines: Sequence[bytes]) -> None:
    """Keep lines that no database takes, for people to look at."""
    with (folder / REFUSED).open("ab") as file:
        file.writelines(lines)
        file.flush()
        os.fsync(file.fileno())


def check_room(folder: Path) -> None:
    """Return if the disk takes some more."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{os.getpid()}-{secrets.token_hex(4)}.room"
    try:
        with path.open("xb") as file:
            file.write(bytes(ROOM))
            file.flush()
            os.fsync(file.fileno())
    finally:
        path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
