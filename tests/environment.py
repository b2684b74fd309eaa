"""A pytest plugin that is loaded before Django: every run gets a data directory of its own, removed at the end.

The directory lies right under the system's temporary folder, because Ray puts UNIX sockets below it and their paths
may have 107 bytes.
"""

import os
import shutil
import tempfile
from pathlib import Path

import hypothesis
import pytest

DATA_DIR = Path(tempfile.mkdtemp(prefix="rht-"))

for name in [*os.environ]:
    if name.startswith("ROUNDHOUSE_") and not name.startswith("ROUNDHOUSE_TEST_"):
        del os.environ[name]
os.environ.pop("CELERY_BROKER_URL", None)
os.environ.pop("DATABASE_URL", None)
os.environ["ROUNDHOUSE_DATA_DIR"] = str(DATA_DIR)
if url := os.environ.get("ROUNDHOUSE_TEST_DATABASE_URL"):
    os.environ["DATABASE_URL"] = url

hypothesis.settings.register_profile("suite", deadline=None)  # a machine that is busy with other things is no failure
hypothesis.settings.load_profile("suite")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what touches no database, if one is named to run on: all else has run on SQLite already. So has what
    touches it, and is about another server.
    """
    if not url:
        return
    touching = [
        item
        for item in items
        if (item.get_closest_marker("django_db") or _asks_for_one(item)) and not item.get_closest_marker("once")
    ]
    config.hook.pytest_deselected(items=[item for item in items if item not in touching])
    items[:] = touching


def _asks_for_one(item: pytest.Item) -> bool:
    return isinstance(item, pytest.Function) and not {"db", "transactional_db"}.isdisjoint(item.fixturenames)


def pytest_unconfigure() -> None:
    """Remove the data directory."""
    shutil.rmtree(DATA_DIR, ignore_errors=True)
