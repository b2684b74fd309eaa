"""`make chaos-launcher`: every fault of engines, workers, clusters and nodes, each with the question what is left."""

import sys

from tests.__main__ import find_engine, run

PATHS = (
    "tests/chaos_launcher",
    "tests/doors/test_cluster_nodes.py",
    "tests/doors/test_cluster_ray.py",
    "tests/doors/test_processes.py",
    "tests/state/test_reconcile_faults.py",
    "tests/state/test_reconcile_placement.py",
    "tests/state/test_reconcile_restart.py",
)


def main() -> int:
    """Return the exit status."""
    missing = find_engine()
    status = run(PATHS, PYTEST_ADDOPTS="--timeout=0", ROUNDHOUSE_TEST_CHAOS_LAUNCHER="1")
    if missing:
        sys.stdout.write(f"\nSkipped:\n  {missing}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
