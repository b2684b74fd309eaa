"""Every test here gets a data directory of its own and leaves no process behind."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.end_to_end.host import RoundhouseHost


@pytest.fixture(scope="module")
def data_dir() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="rhe-"))
    yield folder / "var"
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def host(data_dir: Path) -> Iterator[Callable[..., RoundhouseHost]]:
    made: list[RoundhouseHost] = []

    def make(**options: str) -> RoundhouseHost:
        made.append(RoundhouseHost(data_dir, **options))  # type: ignore[arg-type]  # options are its own fields
        return made[-1]

    yield make
    for one in made:
        one.kill_if_running()
