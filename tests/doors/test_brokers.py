"""Tasks travel over every broker that a user may have: a real worker process takes one and does it."""

import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from celery import Celery

from controlplane import settings
from controlplane.supervisor import programs
from tests.alone import alone

ROOT = Path(__file__).resolve().parents[2]
SEED = """
from endpoints.models import Endpoint
Endpoint.objects.create(name="closed", base_url="http://127.0.0.1:9/v1")
"""


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="rhb-") as folder:
        yield Path(folder)


def manage(env: dict[str, str], *arguments: str) -> None:
    subprocess.run([sys.executable, "manage.py", *arguments], cwd=ROOT, env=env, check=True, capture_output=True)


def probed(data_dir: Path) -> bool:
    connection = sqlite3.connect(data_dir / "db.sqlite3")
    try:
        [(last,)] = connection.execute("SELECT last_probe_at FROM endpoints_endpoint")
    finally:
        connection.close()
    return last is not None


@contextmanager
def worker(env: dict[str, str], log: Path) -> Iterator[None]:
    """Run the worker that `serve` runs."""
    [program] = [
        one for one in programs(host="127.0.0.1", port=1, workers=1, data_dir=log.parent) if one.name == "worker"
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(program.argv, cwd=ROOT, env=env, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        process.terminate()
        assert process.wait(60) == 0, log.read_text()


@pytest.mark.parametrize("name", ["filesystem", "redis", "rabbitmq"])
def test_a_task_is_taken_and_done(data_dir: Path, name: str) -> None:
    url = settings.FILE_BROKER if name == "filesystem" else os.environ.get(f"ROUNDHOUSE_TEST_{name.upper()}", "")
    if not url:
        pytest.skip(f"no {name} found; set ROUNDHOUSE_TEST_{name.upper()}")
    env = {**os.environ, "ROUNDHOUSE_DATA_DIR": str(data_dir), "CELERY_BROKER_URL": url}
    env.pop("DATABASE_URL", None)
    manage(env, "migrate", "--skip-checks", "--verbosity=0")
    manage(env, "shell", "--no-imports", "-c", SEED)

    sender = Celery(broker=url)
    if name == "filesystem":
        folder = str(data_dir / "broker")
        sender.conf.broker_transport_options = {
            "data_folder_in": folder,
            "data_folder_out": folder,
            "control_folder": f"{folder}/control",
        }
    with alone(name), worker(env, data_dir / "worker.log"):
        sender.send_task("endpoints.probe_all", queue="roundhouse", expires=120)
        deadline = time.monotonic() + 120
        while not probed(data_dir) and time.monotonic() < deadline:
            time.sleep(0.1)
    sender.close()
    assert probed(data_dir), (data_dir / "worker.log").read_text()
