"""What a process tree costs: its CPU time and its memory."""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator

import psutil

SAMPLE_SECONDS = 0.05


class Meter:
    """Reads one process tree; a tree that is not known (pid None) costs nothing."""

    def __init__(self, pid: int | None) -> None:
        self._pid = pid
        self.peak_mib = 0.0

    @property
    def is_known(self) -> bool:
        """Whether there is anything to read."""
        return self._pid is not None

    def _tree(self) -> list[psutil.Process]:
        if self._pid is None:
            return []
        root = psutil.Process(self._pid)
        return [root, *root.children(recursive=True)]

    def cpu_seconds(self) -> float:
        """Return the user and system time so far."""
        return sum(_cpu_seconds(each) for each in self._tree())

    def memory_mib(self) -> float:
        """Return the resident memory now."""
        return sum(each.memory_info().rss for each in self._tree()) / 2**20

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Note the peak of the memory while the block runs."""
        done = threading.Event()
        self.peak_mib = max(self.peak_mib, self.memory_mib())

        def look() -> None:
            while not done.wait(SAMPLE_SECONDS):
                self.peak_mib = max(self.peak_mib, self.memory_mib())

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def _cpu_seconds(process: psutil.Process) -> float:
    """Return the CPU time of a process. Linux has a clock for each, by the nanosecond; psutil reads hundredths."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            return time.clock_gettime(~process.pid << 3 | 2)  # clock_getcpuclockid(3), which Python lacks
    times = process.cpu_times()
    return times.user + times.system
