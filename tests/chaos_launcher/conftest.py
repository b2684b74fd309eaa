"""One Roundhouse for every scenario, and after each the same question: is anything left?"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos_launcher.site import KEEPER, Site
from tests.end_to_end.host import STOP_SECONDS, RoundhouseHost

# Set by `make chaos-launcher`. What is left out otherwise takes minutes, and most of it is shown on a fake cluster too.
IS_LONG = bool(os.environ.get("ROUNDHOUSE_TEST_CHAOS_LAUNCHER"))
collect_ignore = (
    [] if IS_LONG else ["test_engine_faults.py", "test_joined_cluster.py", "test_real_vllm.py", "test_wishes.py"]
)


@pytest.fixture(scope="package")
def running() -> Iterator[Site]:
    """A Roundhouse that serves, with its Ray head once an engine was wanted; nothing of it is left in the end."""
    folder = Path(tempfile.mkdtemp(prefix="rhl-"))  # short: Ray puts UNIX sockets below it
    host = RoundhouseHost(folder / "var", engine="none")
    try:
        host.start()
        host.wait_for("ready; Ctrl-C ends everything", 150)
        site = Site(host)
        site.make(KEEPER, device="cuda")
        site.start(KEEPER)
        site.wait(KEEPER, lambda row: row["phase"] == "It needs 1 GPU; the cluster has none.")
        yield site
        assert site.engine(KEEPER)["state"] == "pending"
        assert host.stop() < STOP_SECONDS
        assert host.leftovers() == []
    finally:
        host.kill_if_running()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def site(running: Site) -> Iterator[Site]:
    """The same, without engines; after the scenario none is left, nor anything of one."""
    yield running
    running.remove_all()
    assert running.leftovers() == []
