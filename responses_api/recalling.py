"""What a request refers to is fetched before it is served: earlier responses, a conversation, single items."""

from responses_api import store
from responses_api.store import Store
from responses_api.trace import Trace


class Recalling:
    """The memory of one event loop. `stores`: whether anything is stored; `keep_days`: for how long, 0 for ever."""

    def __init__(self, door: Store, *, stores: bool, keep_days: int) -> None:
        self._door = door
        self._stores = stores
        self._keep_days = keep_days

    async def recall(self, trace: Trace) -> None:
        """Let the request have what it refers to, and belong to the session of that.

        Raises:
            RequestError: if something is not there, or cannot be continued, or would have to be stored.
            UnavailableError: if the database does not answer.
        """
        exchange = trace.exchange
        exchange.may_store(allowed=self._stores)
        trace.keep_days = self._keep_days
        if (asked := exchange.references()) is not None:
            found = await self._door.read(store.recall, trace.caller.id, asked)
            trace.continued = found.session_key
            exchange.recall(found.history, found.items)
