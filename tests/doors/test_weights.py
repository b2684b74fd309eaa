"""How much of a model has come, by the files of the hub's cache."""

import json
import os
from pathlib import Path

import pytest

from launcher import weights
from launcher.progress import Progress

NOW = 1_000_000.0
SHARD = 4_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The cache of a model of two shards: one is complete, the other half there."""
    folder = tmp_path / "models--org--model"
    snapshot = folder / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (folder / "blobs").mkdir()
    (folder / "blobs" / "one").write_bytes(b"x" * SHARD)
    (snapshot / "model-00001-of-00002.safetensors").symlink_to("../../blobs/one")
    (snapshot / "model.safetensors.index.json").write_text(json.dumps({"metadata": {"total_size": 2 * SHARD}}))
    (snapshot / "tokenizer.json").write_bytes(b"x" * 1000)
    written(folder / "blobs" / "two.1234.incomplete", SHARD // 2)
    return folder


def written(path: Path, size: int, at: float = NOW) -> None:
    path.write_bytes(b"x" * size)
    os.utime(path, (at, at))


def look(folder: Path) -> Progress | None:
    return weights.downloading(folder.parent, "org/model", NOW)


def test_complete_and_growing_files_count_against_the_index(folder: Path) -> None:
    assert look(folder) == Progress("downloading weights", 75.0, 1.5 * SHARD, 2 * SHARD, "bytes")


def test_without_an_index_there_are_bytes_alone(folder: Path) -> None:
    (folder / "snapshots" / "abc" / "model.safetensors.index.json").write_text("[]")
    assert look(folder) == Progress("downloading weights", None, 1.5 * SHARD, None, "bytes")


def test_what_was_given_up_is_no_download(folder: Path) -> None:
    (part,) = folder.glob("blobs/*.incomplete")
    os.utime(part, (NOW - 61, NOW - 61))
    assert look(folder) is None
    written(folder / "blobs" / "two.5678.incomplete", SHARD // 4)
    assert look(folder) == Progress("downloading weights", 62.5, 1.25 * SHARD, 2 * SHARD, "bytes")


def test_a_file_that_has_its_length_before_its_bytes_counts_by_its_bytes(folder: Path) -> None:
    (part,) = folder.glob("blobs/*.incomplete")
    part.unlink()
    with part.open("wb") as file:
        file.truncate(SHARD)
    os.utime(part, (NOW, NOW))
    assert look(folder) == Progress("downloading weights", 50.0, SHARD, 2 * SHARD, "bytes")


def test_where_nothing_is_nothing_is_said(tmp_path: Path) -> None:
    assert weights.downloading(tmp_path, "org/model", NOW) is None
    assert weights.downloading(tmp_path / "none", "org/model", NOW) is None
