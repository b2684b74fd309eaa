"""The filesystem broker under processes that write and read at once, and with damaged files."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from kombu import Connection

from controlplane.settings import FILE_BROKER

QUEUE = "roundhouse"


@contextmanager
def channel_at(folder: Path) -> Iterator[Any]:
    """Yield a channel of its own connection, as another process would have it."""
    options = {
        "data_folder_in": str(folder),
        "data_folder_out": str(folder),
        "control_folder": str(folder / "control"),
    }
    with Connection(FILE_BROKER, transport_options=options) as connection, connection.channel() as channel:
        yield channel


def test_a_damaged_message_is_set_aside_and_the_next_one_is_read(tmp_path: Path) -> None:
    with channel_at(tmp_path) as channel:
        (tmp_path / f"000_empty.{QUEUE}.msg").touch()
        (tmp_path / f"001_cut.{QUEUE}.msg").write_text('{"body": ')
        channel._put(QUEUE, {"body": "whole"})
        assert channel._get(QUEUE) == {"body": "whole"}
        with pytest.raises(Empty):
            channel._get(QUEUE)


def test_a_message_for_another_queue_stays(tmp_path: Path) -> None:
    with channel_at(tmp_path) as channel:
        channel._put(f"other.{QUEUE}", {"body": "not yours"})
        with pytest.raises(Empty):
            channel._get(QUEUE)
        assert channel._get(f"other.{QUEUE}") == {"body": "not yours"}


def test_every_message_is_read_once_while_many_write(tmp_path: Path) -> None:
    writers, each = 4, 100
    seen: list[tuple[int, int]] = []

    def write(writer: int) -> None:
        with channel_at(tmp_path) as channel:
            for number in range(each):
                channel._put(QUEUE, {"body": [writer, number]})

    def read() -> None:
        with channel_at(tmp_path) as channel:
            while len(seen) < writers * each and not stop.is_set():
                try:
                    seen.append(tuple(channel._get(QUEUE)["body"]))
                except Empty:
                    stop.wait(0.001)

    stop = threading.Event()
    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(writers)]
    threads += [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    stop.set()
    assert sorted(seen) == [(writer, number) for writer in range(writers) for number in range(each)]


def test_a_damaged_table_of_queues_is_made_anew(tmp_path: Path) -> None:
    with channel_at(tmp_path) as channel:
        (tmp_path / "control").mkdir()
        (tmp_path / "control" / "e.exchange").touch()
        assert channel.get_table("e") == []
        channel._queue_bind("e", "key", "", QUEUE)
        assert [entry.queue for entry in channel.get_table("e")] == [QUEUE]
