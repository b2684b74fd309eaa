"""`make test`: the whole suite on SQLite, and what touches the database on PostgreSQL too.

Services are looked for, not asked for: what is not found is skipped and said so at the end. With CI=true nothing may be
skipped for want of a service.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from typing import IO

import psycopg
import redis
from kombu import Connection

from tests.clients import npm

POSTGRES_DEFAULT = "postgres://postgres@127.0.0.1:5432/postgres"
REDIS_DEFAULT = "redis://127.0.0.1:6379/15"
RABBITMQ_DEFAULT = "amqp://guest:guest@127.0.0.1:5672//"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ON_BOTH = ("tests/state", "tests/doors", "tests/web")
THEN = ("tests/clients", "tests/contract", "tests/fuzz")  # on SQLite alone, as all that is not named here
AFTERWARDS = ("tests/chaos",)  # they kill and fill up what the others use


def find_postgres() -> str:
    """Return why PostgreSQL cannot be used, or ""; its URL goes into the environment."""
    url = os.environ.setdefault("ROUNDHOUSE_TEST_POSTGRES", POSTGRES_DEFAULT)
    try:
        psycopg.connect(url, connect_timeout=3).close()
    except psycopg.Error as error:
        del os.environ["ROUNDHOUSE_TEST_POSTGRES"]
        return f"no PostgreSQL at {url} ({str(error).strip().splitlines()[0]}); set ROUNDHOUSE_TEST_POSTGRES"
    return ""


def find_redis() -> str:
    """Return why Redis cannot be used, or ""."""
    url = os.environ.setdefault("ROUNDHOUSE_TEST_REDIS", REDIS_DEFAULT)
    try:
        with redis.Redis.from_url(url, socket_connect_timeout=3) as client:
            client.ping()
    except redis.RedisError as error:
        del os.environ["ROUNDHOUSE_TEST_REDIS"]
        return f"no Redis at {url} ({error}); set ROUNDHOUSE_TEST_REDIS"
    return ""


def find_rabbitmq() -> str:
    """Return why RabbitMQ cannot be used, or ""."""
    url = os.environ.setdefault("ROUNDHOUSE_TEST_RABBITMQ", RABBITMQ_DEFAULT)
    connection = Connection(url, connect_timeout=3)
    try:
        connection.connect()
    except OSError as error:
        del os.environ["ROUNDHOUSE_TEST_RABBITMQ"]
        return f"no RabbitMQ at {url} ({error}); set ROUNDHOUSE_TEST_RABBITMQ"
    finally:
        connection.release()
    return ""


def find_browser() -> str:
    """Return why no browser can be used, or ""."""
    named = os.environ.get("ROUNDHOUSE_TEST_BROWSER", "")
    found = named or next((path for name in BROWSERS if (path := shutil.which(name))), "")
    if not found:
        return "no Chromium found; install it, or set ROUNDHOUSE_TEST_BROWSER to its path"
    os.environ["ROUNDHOUSE_TEST_BROWSER"] = found
    return ""


def find_node() -> str:
    """Return why the clients from npm cannot be used, or ""; they are installed on the way."""
    if missing := npm.install():
        return f"no clients from npm: {missing}"
    os.environ["ROUNDHOUSE_TEST_NODE"] = "1"
    return ""


def find_engine() -> str:
    """Return why no vLLM can be used, or ""."""
    tried = subprocess.run([sys.executable, "-c", "import vllm"], capture_output=True, check=False)
    return "" if tried.returncode == 0 else "no vLLM in this environment; run `make install`"


def run(paths: tuple[str, ...], **env: str) -> int:
    """Run pytest over the paths and return its exit status; finding no test is a failure."""
    return _start(paths, env).wait()


def _start(paths: tuple[str, ...], env: dict[str, str], told: IO[bytes] | None = None) -> "subprocess.Popen[bytes]":
    """Return pytest, running. What it says goes into the file, if there is one."""
    command = [sys.executable, "-W", "error", "-m", "pytest", *paths, *sys.argv[1:]]
    return subprocess.Popen(command, env={**os.environ, **env}, stdout=told, stderr=told and subprocess.STDOUT)


def run_all(postgres: str | None) -> int:
    """Run everything on SQLite, and what touches the database on PostgreSQL, if there is one: in two rows that take
    about as long, beside each other, since most tests wait more than they work.

    Return an exit status that is not 0 if one of them failed.
    """
    if not postgres:
        return run(("tests",))
    with tempfile.TemporaryFile() as told, ThreadPoolExecutor(1) as other:
        beside = other.submit(_run_beside, postgres, told)
        status = run(("tests", *(f"--ignore={path}" for path in THEN)))
        print("\nMeanwhile on PostgreSQL:", *ON_BOTH, "and then on SQLite:", *THEN, flush=True)
        status = beside.result() or status
        told.seek(0)
        shutil.copyfileobj(told, sys.stdout.buffer)
    print("\nAnd on PostgreSQL:", *AFTERWARDS, flush=True)
    return run(AFTERWARDS, ROUNDHOUSE_TEST_DATABASE_URL=postgres) or status


def _run_beside(postgres: str, told: IO[bytes]) -> int:
    status = _start(ON_BOTH, {"ROUNDHOUSE_TEST_DATABASE_URL": postgres}, told).wait()
    return _start(THEN, {}, told).wait() or status


def main() -> int:
    """Run everything that can run here; return the exit status."""
    finders = (find_postgres, find_redis, find_rabbitmq, find_browser, find_node, find_engine)
    missing = [reason for find in finders if (reason := find())]
    if missing and os.environ.get("CI") == "true":
        print("With CI=true nothing may be skipped:", *missing, sep="\n  ")
        return 1
    status = run_all(os.environ.get("ROUNDHOUSE_TEST_POSTGRES"))
    if missing:
        print("\nSkipped for want of a service:", *missing, sep="\n  ")
    return status


if __name__ == "__main__":
    sys.exit(main())
