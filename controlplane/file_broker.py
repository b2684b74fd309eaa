"""Kombu's filesystem transport, made safe for several processes that write and read at once.

Kombu opens a message's file under its final name and then writes it, so that a reader can meet an empty one: it raises
out of the worker's loop, which ends the worker, and the message is lost. Here a message appears whole, by a rename, and
a file that is damaged all the same is set aside with a warning.
"""

import json
import logging
import time
import uuid
from pathlib import Path
from queue import Empty
from typing import Any

from kombu.exceptions import ChannelError
from kombu.transport import TRANSPORT_ALIASES, filesystem
from kombu.utils.json import dumps, loads

logger = logging.getLogger(__name__)


class Channel(filesystem.Channel):
    """One file a message, named for its time and its queue."""

    def _put(self, queue: str, payload: Any, **_: Any) -> None:  # type: ignore[override]  # the stubs name it twice
        name = f"{round(time.monotonic() * 1000):015d}_{uuid.uuid4()}.{queue}"
        fresh = Path(self.data_folder_out, f"{name}.new")
        try:
            fresh.write_text(dumps(payload))
            fresh.replace(fresh.with_suffix(".msg"))
        except OSError as error:
            raise ChannelError(f"Cannot write {fresh}: {error}") from error

    def _get(self, queue: str, timeout: float | None = None) -> Any:  # noqa: ARG002  (the base class has it)
        for path in sorted(Path(self.data_folder_in).glob(f"*.{queue}.msg")):
            if path.name.partition(".")[2] != f"{queue}.msg":
                continue  # another queue, whose name ends like this one's
            taken = path.with_suffix(".taken")
            try:
                path.rename(taken)
            except FileNotFoundError:
                continue  # another reader was first
            text = taken.read_text(errors="replace")
            try:
                message = loads(text)
            except json.JSONDecodeError:
                logger.warning("A damaged message was set aside: %s", taken)
                continue
            taken.unlink()
            return message
        raise Empty

    def get_table(self, exchange: str) -> list[Any]:
        """Return the queues of an exchange; none while its file is being made, or if it is damaged."""
        try:
            return list(super().get_table(exchange))
        except json.JSONDecodeError:
            return []

    def _queue_bind(self, exchange: str, routing_key: str | None, pattern: str | None, queue: str) -> None:
        try:
            super()._queue_bind(exchange, routing_key or "", pattern or "", queue)
        except json.JSONDecodeError:
            (Path(self.control_folder) / f"{exchange}.exchange").unlink(missing_ok=True)
            super()._queue_bind(exchange, routing_key or "", pattern or "", queue)


class Transport(filesystem.Transport):
    """The transport of `filesystem://` in every process that loads Roundhouse."""

    Channel = Channel


def install() -> None:
    """Make `filesystem://` mean this transport."""
    TRANSPORT_ALIASES["filesystem"] = f"{__name__}:Transport"
