"""`make chaos`: every fault at length, on SQLite and then on PostgreSQL."""

import os
import sys

from tests.__main__ import find_postgres, run

PATHS = (
    "tests/chaos",
    "tests/web/test_gateway_failover.py",
    "tests/web/test_gateway_patience.py",
    "tests/web/test_gateway_limits.py",
    "tests/web/test_gateway_silence.py",
    "tests/web/test_gateway_shutdown.py",
)
LONG = {"PYTEST_ADDOPTS": "--timeout=0"}


def main() -> int:
    """Return the exit status."""
    missing = find_postgres()
    status = run(PATHS, **LONG)
    if missing:
        print("\nSkipped for want of a service:", missing, sep="\n  ")
        return status
    print("\nOnce more on PostgreSQL", flush=True)
    return run(PATHS, **LONG, ROUNDHOUSE_TEST_DATABASE_URL=os.environ["ROUNDHOUSE_TEST_POSTGRES"]) or status


if __name__ == "__main__":
    sys.exit(main())
