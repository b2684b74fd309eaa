"""Audio files below a profile's root, and nothing else."""

import base64
from pathlib import Path

import pytest

from responses_api import audio_files
from responses_api.convert.side_channel import AudioFile
from responses_api.errors import RequestError


def files(*paths: str) -> list[AudioFile]:
    return [AudioFile(path, f"metadata.audio_paths[{index}]") for index, path in enumerate(paths)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with two files, a way out of it, and something beside it."""
    (tmp_path / "secret.wav").write_bytes(b"secret")
    folder = tmp_path / "audio"
    (folder / "in").mkdir(parents=True)
    (folder / "a.WAV").write_bytes(b"RIFF")
    (folder / "in" / "b.mp3").write_bytes(b"ID3")
    (folder / "in" / "same.wav").symlink_to(folder / "a.WAV")
    (folder / "out.wav").symlink_to(tmp_path / "secret.wav")
    (folder / "notes.txt").write_text("x")
    (folder / "folder.wav").mkdir()
    return folder


async def test_files_come_as_data_urls(root: Path) -> None:
    found = await audio_files.read(str(root), files("a.WAV", "in/b.mp3", "in/same.wav", str(root / "a.WAV")))
    wav = f"data:audio/wav;base64,{base64.b64encode(b'RIFF').decode()}"
    assert found == [wav, f"data:audio/mpeg;base64,{base64.b64encode(b'ID3').decode()}", wav, wav]


@pytest.mark.parametrize(
    "path",
    [
        "../secret.wav",
        "in/../a.WAV",
        "out.wav",
        "/etc/passwd",
        "notes.txt",
        "folder.wav",
        "none.wav",
        "",
        "null\0.wav",
        "x" * 5000 + ".wav",
    ],
)
async def test_nothing_else_is_read(root: Path, path: str) -> None:
    with pytest.raises(RequestError) as caught:
        await audio_files.read(str(root), files("a.WAV", path))
    assert (caught.value.param, caught.value.status) == ("metadata.audio_paths[1]", 400)


async def test_an_absolute_path_leads_nowhere_else(root: Path) -> None:
    with pytest.raises(RequestError):
        await audio_files.read(str(root), files(str(root.parent / "secret.wav")))


async def test_without_a_root_no_file_is_read(root: Path) -> None:
    with pytest.raises(RequestError) as caught:
        await audio_files.read("", files(str(root / "a.WAV")))
    assert caught.value.param == "metadata.audio_paths"


async def test_a_file_may_be_too_large(root: Path) -> None:
    with (root / "big.wav").open("wb") as file:
        file.truncate(audio_files.MAX_BYTES + 1)
    with pytest.raises(RequestError, match="larger than"):
        await audio_files.read(str(root), files("big.wav"))
