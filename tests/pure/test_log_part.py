"""Parts of a log that grows."""

from pathlib import Path

import pytest

from launcher import log_part
from launcher.cluster import LogPart


@pytest.mark.parametrize(
    ("data", "first", "last", "expected"),
    [
        (b"one\ntwo\nthr", False, False, ("one\ntwo\n", 10, 18)),
        (b"one\ntwo\nthr", False, True, ("one\ntwo\nthr", 10, 21)),
        (b"lf\ntwo\nthr", True, False, ("two\n", 13, 17)),
        (b"half", False, False, ("", 10, 10)),
        (b"half", False, True, ("half", 10, 14)),
        (b"", False, True, ("", 10, 10)),
        (b"lf\n", True, False, ("", 13, 13)),
        ("äö\nü".encode()[:-1], False, False, ("äö\n", 10, 15)),
        (b"\xff\n", False, False, ("\ufffd\n", 10, 12)),
    ],
)
def test_whole_lines_are_taken(data: bytes, first: bool, last: bool, expected: tuple[str, int, int]) -> None:
    assert log_part.cut(data, 10, first=first, last=last) == LogPart(*expected)


def test_a_line_longer_than_a_part_comes_in_pieces() -> None:
    data = b"x" * log_part.PART_BYTES
    assert log_part.cut(data, 0, first=False, last=False).place == log_part.PART_BYTES
    assert log_part.cut(data, 0, first=True, last=True).place == log_part.PART_BYTES


@pytest.mark.parametrize(
    ("size", "place", "begins"),
    [
        (100, 0, 0),
        (100, 40, 40),
        (100, 100, 100),
        (100, 101, 0),  # the log is another one
        (100, -1, 99),
        (100, -101, 0),
        (log_part.KEPT_BYTES + 7, 0, 7),
        (log_part.KEPT_BYTES + 7, 9, 9),
    ],
)
def test_where_to_read_on(size: int, place: int, begins: int) -> None:
    assert log_part.begin(size, place) == begins


def test_a_large_log_gives_back_the_disk_under_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "job.log"
    line = b"x" * 999 + b"\n"
    with path.open("ab", buffering=0) as writer:
        writer.write(line * 12_000)
        log_part.give_back(path)
        assert path.stat().st_blocks * log_part.BLOCK >= 12_000_000
        writer.write(line * 12_000)
        log_part.give_back(path)
        writer.write(b"last\n")
    assert path.stat().st_size == 24_000_005
    assert path.stat().st_blocks * log_part.BLOCK < 9_000_000
    part = log_part.read(path, 0, last=True)
    assert part is not None
    assert part.text.startswith(line.decode())
    assert path.read_bytes()[-8_000_000:] == line[-995:] + line * 7999 + b"last\n"
    log_part.give_back(tmp_path / "none.log")
