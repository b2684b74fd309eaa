"""The data directory is its owner's alone, and its secret key is made once."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from controlplane.datadir import DataDir


def test_every_folder_is_private(tmp_path: Path) -> None:
    data = DataDir(tmp_path / "var")
    data.prepare()
    data.prepare()
    for folder in (data.root, data.broker, data.logs, data.engine_logs, data.models, data.ray):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_processes_that_race_agree_on_one_secret_key(tmp_path: Path) -> None:
    data = DataDir(tmp_path / "var")
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: data.read_or_make_secret_key(), range(32)))
    assert len(keys) == 1
    assert len(keys.pop()) > 50
    assert stat.S_IMODE(data.secret_key.stat().st_mode) == 0o600
    assert [file.name for file in data.root.iterdir() if file.name.startswith(".secret")] == []
