"""Daphne, as `manage.py runserver` uses it, in the place of a site's Uvicorn."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from django.conf import settings
from django.db import connection

from tests.web.gateway_server import Site, running, until


@contextmanager
def on_daphne(*, env: dict[str, str], **profile: Any) -> Iterator[Site]:
    """A site that Daphne serves, over the tests' database."""
    with running(**profile) as site:
        site.server.stop()
        with daphne(site.server.port, env):
            yield site


@contextmanager
def daphne(port: int, env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Daphne's process."""
    name = connection.settings_dict["NAME"]
    database = (
        f"sqlite:///{name}"
        if connection.vendor == "sqlite"
        else os.environ["DATABASE_URL"].rpartition("/")[0] + f"/{name}"
    )
    environ = {**os.environ, "DATABASE_URL": database, "ROUNDHOUSE_DATA_DIR": str(settings.DATA_DIR.root), **env}
    command = [sys.executable, "-m", "daphne", "-p", str(port), "-b", "127.0.0.1", "controlplane.asgi:application"]
    process = subprocess.Popen(command, env=environ, cwd=Path(settings.BASE_DIR), stderr=subprocess.PIPE)
    try:
        until(lambda: _answers(port) or process.poll() is not None, seconds=180)
        assert process.poll() is None, f"Daphne ended with {process.returncode}."
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=60)


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/v1/models").status_code == 401
    except httpx.TransportError:
        return False
