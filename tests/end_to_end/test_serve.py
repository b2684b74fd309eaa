"""`manage.py serve` starts on a database that is ready for it, and says in one line why not otherwise."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.host import ROOT


def serve(data_dir: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", "serve"],
        cwd=ROOT,
        env={**os.environ, "ROUNDHOUSE_DATA_DIR": str(data_dir), **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"DATABASE_URL": ""}, "migrations: run `"),
        ({"DATABASE_URL": "postgres://nobody@127.0.0.1:9/none"}, "the database cannot be used (connection failed"),
    ],
)
def test_a_database_that_is_not_ready_is_one_line_with_the_fix(tmp_path: Path, env: dict[str, str], said: str) -> None:
    done = serve(tmp_path / "var", **env)
    assert done.returncode == 1
    assert said in done.stderr
    assert [line for line in done.stderr.splitlines() if line.startswith("CommandError")]
    assert "Traceback" not in done.stderr
