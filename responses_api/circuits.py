"""The circuit breakers of all endpoints: what this process saw, and what the others say.

What is decided here counts here at once. It is written to the endpoint's row, so that it counts in every process at its
next look at the configuration; while the database is away, each process goes by what it sees.
"""

import asyncio
import logging
from collections.abc import Coroutine
from datetime import UTC, datetime
from functools import partial
from typing import Any

from responses_api.breaker import Cause, Circuit, Streaks, opened
from responses_api.directory import Directory
from responses_api.errors import ConnectError, RetryableError, SilentError, UnavailableError
from responses_api.ledger import Ledger, circuits
from responses_api.snapshot import ProfileView

logger = logging.getLogger(__name__)

# After so many seconds a decision is written again that could not be: the database was away.
SHARE_SECONDS = 1.0


def _cause(error: RetryableError) -> Cause | None:
    if isinstance(error, ConnectError):
        return Cause.UNREACHABLE
    return Cause.STALLED if isinstance(error, SilentError) else None


class Circuits:
    """The circuits as one event loop knows them."""

    def __init__(self, directory: Directory, ledger: Ledger) -> None:
        self._directory = directory
        self._ledger = ledger
        self._streaks = Streaks()
        # What was decided here and is not in the snapshot yet; None: closed.
        self._ours: dict[int, Circuit | None] = {}
        self._sharing: set[asyncio.Task[None]] = set()

    def _circuit(self, endpoint_id: int) -> Circuit | None:
        if endpoint_id in self._ours:
            return self._ours[endpoint_id]
        return self._directory.circuits.get(endpoint_id)

    @property
    def are_closed(self) -> bool:
        """Whether nothing is to be minded. It is asked by every request."""
        return not self._ours and not self._directory.circuits

    def pool(self, profile: ProfileView) -> ProfileView:
        """Return the profile without the endpoints whose circuit is open; those that may be tried are in it."""
        if self.are_closed:
            return profile
        now = datetime.now(UTC)
        barred = {
            pk: f"{view.name} gave no answer lately: {circuit.reason}"
            for pk, view in profile.usable.items()
            if (circuit := self._circuit(pk)) is not None and not circuit.is_due(now)
        }
        return profile.without(barred)

    async def let_in(self, endpoint_id: int) -> tuple[bool, bool]:
        """Return whether a request may ask the endpoint now, and whether that is a trial: of all that come to a circuit
        that is half-open, in whichever process, one may.
        """
        circuit, now = self._circuit(endpoint_id), datetime.now(UTC)
        if circuit is None:
            return True, False
        if not circuit.is_due(now):
            return False, False
        tried = circuit.tried(now)
        self._ours[endpoint_id] = tried
        try:
            mine = await self._ledger.change(partial(circuits.claim, endpoint_id, circuit.until, tried.until))
        except UnavailableError:
            return True, True  # nobody can be asked: this process tries for itself
        self._later(self._forget(endpoint_id, tried))
        return mine, mine

    def next_trial(self, profile: ProfileView) -> float:
        """Return in how many seconds an endpoint of the profile may be tried again; infinity if none is open."""
        now = datetime.now(UTC)
        waits = (
            (circuit.until - now).total_seconds()
            for pk in profile.unusable
            if (circuit := self._circuit(pk)) is not None
        )
        return max(min(waits, default=float("inf")), 0.01)

    def failed(self, endpoint_id: int, error: RetryableError, *, trial: bool) -> None:
        """Note that an endpoint gave no answer. `trial`: to the request that was let in to try."""
        if (cause := _cause(error)) is not None:
            self._count(endpoint_id, cause, error.message, trial=trial)

    def stalled(self, endpoint_id: int, *, trial: bool) -> None:
        """Note that an answer fell silent."""
        self._count(endpoint_id, Cause.STALLED, "Its answers stall.", trial=trial)

    def hung(self, endpoint_id: int, reason: str) -> None:
        """Note that an endpoint takes requests and does nothing: of that, one look is enough."""
        if self._circuit(endpoint_id) is None:
            logger.warning("Endpoint %d is not asked for now: %s", endpoint_id, reason)
            self._decide(endpoint_id, opened(None, cause=Cause.STALLED, reason=reason, now=datetime.now(UTC)))

    def _count(self, endpoint_id: int, cause: Cause, reason: str, *, trial: bool) -> None:
        before = self._circuit(endpoint_id)
        one_too_many = self._streaks.failed(endpoint_id, cause)
        # Of an endpoint that is not asked, only the one that tries says anything new: the others asked before.
        if trial if before else one_too_many:
            logger.warning("Endpoint %d is not asked for now: %s", endpoint_id, reason)
            self._decide(endpoint_id, opened(before, cause=cause, reason=reason, now=datetime.now(UTC)))

    def reached(self, endpoint_id: int) -> None:
        """Note that an endpoint has begun to answer."""
        self._went_well(endpoint_id, Cause.UNREACHABLE)

    def answered(self, endpoint_id: int) -> None:
        """Note that an endpoint has given a whole answer."""
        self._went_well(endpoint_id, Cause.UNREACHABLE)
        self._went_well(endpoint_id, Cause.STALLED)

    def _went_well(self, endpoint_id: int, cause: Cause) -> None:
        self._streaks.ended(endpoint_id, cause)
        if self.are_closed:
            return
        circuit = self._circuit(endpoint_id)
        if circuit is not None and circuit.cause == cause:
            logger.info("Endpoint %d answers again.", endpoint_id)
            self._decide(endpoint_id, None)

    def _decide(self, endpoint_id: int, circuit: Circuit | None) -> None:
        """Let it count here now, and everywhere soon."""
        self._ours[endpoint_id] = circuit
        self._directory.wake()
        self._later(self._share(endpoint_id, circuit))

    async def _share(self, endpoint_id: int, circuit: Circuit | None) -> None:
        """Write the decision, as often as that takes, unless another one replaces it; then go by the snapshot again."""
        is_told = False
        while self._is_ours(endpoint_id, circuit):
            try:
                await self._ledger.change(partial(circuits.write, endpoint_id, circuit))
                await self._directory.newer()
            except UnavailableError:
                if not is_told:
                    logger.warning("What was found of endpoint %d is known to this process alone.", endpoint_id)
                is_told = True
                await asyncio.sleep(SHARE_SECONDS)
            else:
                self._give_up(endpoint_id, circuit)

    def _is_ours(self, endpoint_id: int, circuit: Circuit | None) -> bool:
        return endpoint_id in self._ours and self._ours[endpoint_id] is circuit

    def _give_up(self, endpoint_id: int, circuit: Circuit | None) -> None:
        if self._is_ours(endpoint_id, circuit):
            del self._ours[endpoint_id]

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._sharing.add(task)
        task.add_done_callback(self._sharing.discard)

    async def _forget(self, endpoint_id: int, circuit: Circuit | None) -> None:
        """Go by the snapshot as soon as it holds what was written."""
        try:
            await self._directory.newer()
        except UnavailableError:
            return
        self._give_up(endpoint_id, circuit)

    async def close(self) -> None:
        """Share no more."""
        for task in self._sharing:
            task.cancel()
        await asyncio.gather(*self._sharing, return_exceptions=True)
