import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher import places, processes
from launcher.models import Engine
from tests.fakes.cluster import FakeCluster
from tests.state.engines import VARIABLE, mark


@pytest.fixture
def cluster(transactional_db: None, tmp_path: Path) -> Iterator[FakeCluster]:
    """A cluster whose jobs, and whatever they left, are ended with the test."""
    cluster = FakeCluster(tmp_path)
    yield cluster
    cluster.die()
    for engine in Engine.objects.all():
        processes.end(VARIABLE, mark(engine))
    shutil.rmtree(places.of_this_host().temp, ignore_errors=True)
