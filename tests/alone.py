"""What several runs of the suite on one machine share, one of them has at a time."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def alone(broker: str) -> Iterator[None]:
    """Keep other runs from the broker: their workers take from the same queue, and have another database."""
    with (Path(tempfile.gettempdir()) / f"rht-{os.getuid()}-{broker}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
