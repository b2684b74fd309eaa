"""A pytest plugin that is loaded before Django: every run gets a data directory of its own, removed at the end.

The directory lies right under the system's temporary folder, because Ray puts UNIX sockets below it and their paths
may have 107 bytes.
"""

import os
import shutil
import tempfile
from pathlib import Path

DATA_DIR = Path(tempfile.mkdtemp(prefix="rht-"))

for name in [*os.environ]:
    if name.startswith("ROUNDHOUSE_") and not name.startswith("ROUNDHOUSE_TEST_"):
        del os.environ[name]
os.environ.pop("CELERY_BROKER_URL", None)
os.environ.pop("DATABASE_URL", None)
os.environ["ROUNDHOUSE_DATA_DIR"] = str(DATA_DIR)
if url := os.environ.get("ROUNDHOUSE_TEST_DATABASE_URL"):
    os.environ["DATABASE_URL"] = url


def pytest_unconfigure() -> None:
    """Remove the data directory."""
    shutil.rmtree(DATA_DIR, ignore_errors=True)
