"""The ledger's face for the gateway, on its event loop, with the pins that this process knows."""

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import TypeVar

from responses_api.balancing import Weights
from responses_api.errors import (
    ItemNotFoundError,
    NotStoredError,
    PreviousResponseNotFoundError,
    UnavailableError,
)
from responses_api.ledger.moves import Moves
from responses_api.ledger.rows import Binding, Change, Pin, PinRequest, Place, Repin, Row, Spooled
from responses_api.ledger.writer import Writer

logger = logging.getLogger(__name__)

MAX_KNOWN = 100_000
# So many sessions are known here by one answer, if conversations are the same to the word.
MAX_TWINS = 64
NO_WEIGHTS: Weights = MappingProxyType({})

MISSING = (PreviousResponseNotFoundError, NotStoredError, ItemNotFoundError)

T = TypeVar("T")


class Ledger:
    """Sessions and ledger rows of one event loop. Every call returns after its commit.

    A known session costs no read: its pin is kept here. Another process may bind it anew, of which this one hears
    within a second (`read_moves`), and by every commit that counts in it.
    """

    def __init__(self, *, writer: Writer | None = None, max_known: int = MAX_KNOWN) -> None:
        self._writer = writer or Writer()
        self._known: OrderedDict[Place, Pin] = OrderedDict()
        self._fingerprints: OrderedDict[int, tuple[Place, ...]] = OrderedDict()
        self._max_known = max_known
        self._moves = Moves()

    def known(self, place: Place) -> Pin | None:
        """Return the session at the place if this process knows it."""
        pin = self._known.get(place)
        if pin is None or (pin.session_id is None and not self._writer.away.is_on):
            return None
        self._known.move_to_end(place)
        return pin

    @property
    def is_away(self) -> bool:
        """Whether the database is away, so that only what this process knows counts."""
        return self._writer.away.is_on

    @property
    def trouble(self) -> str:
        """Why nothing can be recorded now; empty if it can."""
        return self._writer.away.trouble

    def recognised(self, ends: Iterable[int]) -> Sequence[str]:
        """Return the keys of the sessions that gave the newest of these answers that this process knows, by their ends;
        the latest comes last.
        """
        found = next((places for end in ends if (places := self._fingerprints.get(end))), ())
        return [place.key for place in found]

    @contextmanager
    def nothing_missing(self) -> Iterator[None]:
        """Within, what is not found is not said to be missing while it may be on its way to the database.

        Raises:
            UnavailableError: instead of the error that says so.
        """
        try:
            yield
        except MISSING as error:
            if self._writer.away.has_spool:
                raise UnavailableError("What was stored lately is not in Roundhouse's database yet.") from error
            raise

    async def pin(
        self,
        place: Place,
        candidates: Mapping[int, str],
        now: datetime,
        *,
        fresh: bool = False,
        weights: Weights = NO_WEIGHTS,
    ) -> Pin:
        """Return the session at the place; a new one is bound to the candidates (names by endpoint id) in turn.

        Raises:
            UnavailableError: if it could not be written.
        """
        return self._learn(place, await self._writer.ask(PinRequest(place, candidates, now, fresh, weights)))

    async def repin(
        self,
        place: Place,
        pin: Pin,
        *,
        old_name: str,
        candidates: Mapping[int, str],
        reason: str,
        now: datetime,
        weights: Weights = NO_WEIGHTS,
    ) -> Pin:
        """Bind a session to another of the candidates, unless another process was first: return how it is bound now.

        Raises:
            UnavailableError: if it could not be written.
        """
        asked = Repin(place, pin.session_id, pin.endpoint_id, old_name, candidates, reason, now, weights)
        bound: Pin | None = await self._writer.ask(asked)
        if bound is None:  # deleted meanwhile
            self._known.pop(place, None)
            return await self.pin(place, candidates, now, weights=weights)
        return self._learn(place, bound)

    async def record(self, row: Row, place: Place | None) -> None:
        """Write a row and count it in its session.

        Raises:
            UnavailableError: if it could not be written.
        """
        self._bind(row, place)
        bound: Pin | Spooled | None = await self._writer.ask(row)
        if place is None:
            return
        if row.fingerprint is not None:
            self._remember(row.fingerprint, place)
        if isinstance(bound, Spooled):
            return
        if bound is None:
            self._known.pop(place, None)
        elif place in self._known:
            self._known[place] = bound

    def _bind(self, row: Row, place: Place | None) -> None:
        """Let the row know its session, if that was bound while the database was away."""
        if row.session_id is None and place is not None and (pin := self._known.get(place)) is not None:
            row.session_id = pin.session_id
            if pin.session_id is None:
                row.binding = Binding(place, pin.endpoint_id, row.created_at)

    def record_soon(self, row: Row, place: Place | None = None) -> None:
        """Write a row that nobody waits for: its caller has left."""
        self._bind(row, place)
        try:
            self._writer.tell(row)
        except UnavailableError:
            logger.warning("A request of a caller who left is not in the ledger: %s", row.response_id)

    async def change(self, work: Callable[[], T]) -> T:
        """Do one of `changes` and return its result.

        Raises:
            UnavailableError: if it could not be written.
        """
        done: T = await self._writer.ask(Change(work))
        return done

    def read_moves(self) -> Callable[[], None]:
        """Read which sessions were bound anew since the last call; return what lets this process know of it. Called
        from one thread of its own; what it returns, on the event loop.
        """
        return partial(self._follow, self._moves.read())

    def _follow(self, moved: Iterable[tuple[Place, Pin]]) -> None:
        for place, pin in moved:
            if place in self._known:
                self._known[place] = pin

    def _learn(self, place: Place, pin: Pin) -> Pin:
        self._known[place] = pin
        if len(self._known) > self._max_known:
            self._known.popitem(last=False)
        return pin

    def _remember(self, end: int, place: Place) -> None:
        others = [known for known in self._fingerprints.pop(end, ()) if known != place]
        self._fingerprints[end] = (*others[1 - MAX_TWINS :], place)
        if len(self._fingerprints) > self._max_known:
            self._fingerprints.popitem(last=False)

    async def close(self) -> None:
        """Write what is queued, then end."""
        await self._writer.close()
