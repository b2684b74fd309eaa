"""The events of a stream in the background: kept as they come, for whoever reads along or comes back."""

import asyncio

from responses_api.sse import DONE_FRAME
from responses_api.streaming import Outlet

STILL_GOING = b": still going\n\n"
_BLANK_LINE = b"\n\n"


def frames_of(events: bytes) -> list[bytes]:
    """Return the events of a stream one by one. Their places are their sequence numbers."""
    return [frame + _BLANK_LINE for frame in events.split(_BLANK_LINE)[:-1]]


def behind(frames: list[bytes], number: int) -> bytes:
    """Return the events of a whole stream behind the one with this sequence number; its end, if there are none."""
    return b"".join(frames[number + 1 :]) or DONE_FRAME


class Recording:
    """An outlet that nobody has to listen to, and many may."""

    def __init__(self, *, streams: bool) -> None:
        """`streams`: whether there will be events at all."""
        self.streams = streams
        self.ended = False
        self._frames: list[bytes] = []
        self._more = asyncio.Event()

    async def start(self, headers: list[tuple[str, str]]) -> None:
        """Take the headers, which say nothing that a reader has not got already."""

    async def write(self, data: bytes) -> None:
        """Keep events and wake the readers."""
        self._frames += frames_of(data)
        self._more.set()
        self._more = asyncio.Event()

    async def end(self, data: bytes) -> None:
        """Keep the last events."""
        self.ended = True
        await self.write(data)

    def events(self) -> bytes:
        """Return all that was kept so far."""
        return b"".join(self._frames)

    async def read_to(self, outlet: Outlet, *, number: int, heartbeat_seconds: float) -> None:
        """Send what comes behind the event with this number, to the end.

        Raises CancelledError alone: the reader has left.
        """
        place = number + 1
        while not self.ended:
            if data := b"".join(self._frames[place:]):
                place = len(self._frames)
                await outlet.write(data)
                continue
            try:
                async with asyncio.timeout(heartbeat_seconds):
                    await self._more.wait()
            except TimeoutError:
                await outlet.write(STILL_GOING)
        await outlet.end(behind(self._frames, place - 1))
