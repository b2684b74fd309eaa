"""The door to the file system: where the launcher keeps what it knows, and what an engine may litter.

Kept for good, in the data directory: the log of every attempt. Kept while something runs, in a short folder below the
system's temporary one: Ray's session and one folder an attempt. Short, because both put UNIX sockets there, and a
socket's path may have 107 bytes.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from launcher import log_part
from launcher.cluster import LogPart

MAX_TEMP_ROOT = 24  # characters; "/tmp" usually. Ray needs about 70 below it.
KEPT_LOGS = 20  # attempts of each engine


class PlaceError(Exception):
    """A folder cannot be used; the message says why."""


@dataclass(frozen=True)
class Places:
    """Names and files of one data directory's launcher."""

    root: Path
    logs: Path

    @property
    def locks(self) -> Path:
        """Who looks at which engine just now."""
        return self.logs.parent / "locks"

    @property
    def identity(self) -> str:
        """Eight digits that stand for the data directory: in the marks of processes and in names of folders."""
        return hashlib.sha256(str(self.root).encode()).hexdigest()[:8]

    @property
    def temp(self) -> Path:
        """The folder for what is gone when nothing runs."""
        root = tempfile.gettempdir()
        return Path(root if len(root) <= MAX_TEMP_ROOT else "/tmp") / f"rh-{self.identity}"  # noqa: S108  (checked below)

    @property
    def ray_temp(self) -> Path:
        """The local Ray head's session."""
        return self.temp / "ray"

    def mark(self, submission_id: str) -> str:
        """Return the mark of an attempt's processes."""
        return f"{self.identity}/{submission_id}"

    def make_temp(self, submission_id: str) -> Path:
        """Return an attempt's own temporary folder, which exists then.

        Raises:
            PlaceError: if someone else made a folder of our name.
        """
        folder = self.temp / submission_id
        for each in (self.temp, folder):
            each.mkdir(mode=0o700, exist_ok=True)
            found = each.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
                raise PlaceError(f"{each} belongs to someone else: remove it.")
        return folder

    def remove_temp(self, submission_id: str) -> None:
        """Remove an attempt's folder, and the common one if nothing is left in it."""
        shutil.rmtree(self.temp / submission_id, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.temp.rmdir()

    def remember_shared_memory(self, submission_id: str, names: set[str]) -> None:
        """Note what the attempt has in shared memory, for the day when its processes cannot be asked any more."""
        note = self.temp / submission_id / "shared-memory.json"
        with contextlib.suppress(OSError):
            note.write_text(json.dumps(sorted(names | self.remembered_shared_memory(submission_id))))

    def remembered_shared_memory(self, submission_id: str) -> set[str]:
        """Return what was noted."""
        try:
            names = json.loads((self.temp / submission_id / "shared-memory.json").read_text())
        except (OSError, ValueError):
            return set()
        return {name for name in names if isinstance(name, str) and name.startswith("/dev/shm/")}  # noqa: S108

    @contextlib.contextmanager
    def visit(self, engine_id: int) -> Iterator[bool]:
        """Give True to one visitor of an engine at a time on this host, False to the others. It saves work, no more."""
        self.locks.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.locks / f"engine-{engine_id}.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True

    def log(self, engine: str, generation: int) -> Path:
        """Return where the log of an attempt is kept."""
        return self.logs / engine / f"{generation}.log"

    def save_log(self, engine: str, generation: int, text: str) -> None:
        """Keep the log of an attempt, readable by its owner only, and forget those of long ago."""
        path = self.log(engine, generation)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        with os.fdopen(os.open(fresh, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w", errors="replace") as file:
            file.write(text)
        fresh.replace(path)
        for old in path.parent.glob("*.log"):
            if old.stem.isdecimal() and int(old.stem) <= generation - KEPT_LOGS:
                old.unlink(missing_ok=True)

    def forget_logs(self, engine: str) -> None:
        """Remove what was kept of every attempt: the engine is gone, or another one that had its name is."""
        shutil.rmtree(self.logs / engine, ignore_errors=True)

    def log_bytes(self, engine: str, generation: int) -> int:
        """Return how much was kept of an attempt, 0 if nothing was."""
        with contextlib.suppress(OSError):
            return self.log(engine, generation).stat().st_size
        return 0

    def saved_at(self, engine: str, generation: int) -> float:
        """Return when something was last kept of an attempt, in seconds since 1970; 0 if nothing was."""
        with contextlib.suppress(OSError):
            return self.log(engine, generation).stat().st_mtime
        return 0

    def saved_log(self, engine: str, generation: int) -> str:
        """Return what was kept of an attempt; "" if nothing was."""
        with contextlib.suppress(OSError):
            return self.log(engine, generation).read_text(errors="replace")
        return ""

    def saved_log_after(self, engine: str, generation: int, place: int, *, last: bool) -> LogPart | None:
        """Return the part of what was kept of an attempt after a place; None if nothing was."""
        return log_part.read(self.log(engine, generation), place, last=last)


def host_id() -> str:
    """Return what stands for this host, or rather for its data directory, in the rows of engines."""
    return settings.DATA_DIR.read_or_make_identity()


def is_other_host(host: str) -> bool:
    """Return whether such a row is another host's. One that names none is everybody's."""
    return bool(host) and host != host_id()


def of_this_host() -> Places:
    """Return the places of the data directory that the settings name."""
    return Places(root=settings.DATA_DIR.root, logs=settings.DATA_DIR.engine_logs)
