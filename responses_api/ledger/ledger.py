"""The ledger's face for the gateway, on its event loop, with the pins that this process knows."""

import logging
from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime

from responses_api.errors import UnavailableError
from responses_api.ledger.rows import Pin, PinRequest, Place, Repin, Row
from responses_api.ledger.writer import Writer

logger = logging.getLogger(__name__)

MAX_KNOWN = 100_000


class Ledger:
    """Sessions and ledger rows of one event loop. Every call returns after its commit.

    A known session costs no read: its pin is kept here, and corrected by every commit that counts in it, because
    another process may have bound it anew.
    """

    def __init__(self, *, writer: Writer | None = None, max_known: int = MAX_KNOWN) -> None:
        self._writer = writer or Writer()
        self._known: OrderedDict[Place, Pin] = OrderedDict()
        self._max_known = max_known

    def known(self, place: Place) -> Pin | None:
        """Return the session at the place if this process knows it."""
        pin = self._known.get(place)
        if pin is not None:
            self._known.move_to_end(place)
        return pin

    async def pin(self, place: Place, candidates: Mapping[int, str], now: datetime, *, fresh: bool = False) -> Pin:
        """Return the session at the place; a new one is bound to the candidates (names by endpoint id) in turn.

        Raises:
            UnavailableError: if it could not be written.
        """
        return self._learn(place, await self._writer.ask(PinRequest(place, candidates, now, fresh)))

    async def repin(
        self, place: Place, pin: Pin, *, old_name: str, candidates: Mapping[int, str], reason: str, now: datetime
    ) -> Pin:
        """Bind a session to another of the candidates, unless another process was first: return how it is bound now.

        Raises:
            UnavailableError: if it could not be written.
        """
        asked = Repin(place, pin.session_id, pin.endpoint_id, old_name, candidates, reason, now)
        bound: Pin | None = await self._writer.ask(asked)
        if bound is None:  # deleted meanwhile
            self._known.pop(place, None)
            return await self.pin(place, candidates, now)
        return self._learn(place, bound)

    async def record(self, row: Row, place: Place | None) -> None:
        """Write a row and count it in its session.

        Raises:
            UnavailableError: if it could not be written.
        """
        bound: Pin | None = await self._writer.ask(row)
        if place is None:
            return
        if bound is None:
            self._known.pop(place, None)
        elif place in self._known:
            self._known[place] = bound

    def record_soon(self, row: Row) -> None:
        """Write a row that nobody waits for: its caller has left."""
        try:
            self._writer.tell(row)
        except UnavailableError:
            logger.warning("A request of a caller who left is not in the ledger: %s", row.response_id)

    def _learn(self, place: Place, pin: Pin) -> Pin:
        self._known[place] = pin
        if len(self._known) > self._max_known:
            self._known.popitem(last=False)
        return pin

    async def close(self) -> None:
        """Write what is queued, then end."""
        await self._writer.close()
