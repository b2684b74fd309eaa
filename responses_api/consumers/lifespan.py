"""The beginning and the end of a server process."""

import gc
from typing import Any

from django.conf import settings

from responses_api.consumers import farewell
from responses_api.consumers.base import expect_lifespan, forget_gateway, known_gateway

ALLOCATIONS_BETWEEN_SEARCHES = 20_000


async def lifespan(_scope: Any, receive: Any, send: Any) -> None:
    """Close the loop's gateway when the server stops, so that what is queued is written."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            # Django and its applications are here to stay: searching them for garbage, again and again, would hold
            # every request up for 60 ms at a time.
            gc.collect()
            gc.freeze()
            # Requests leave next to no circles behind; by default, they would be searched for some every few requests.
            gc.set_threshold(ALLOCATIONS_BETWEEN_SEARCHES)
            expect_lifespan()
            farewell.listen(_end)
            await send({"type": "lifespan.startup.complete"})
        else:
            if (found := forget_gateway()) is not None:
                await found.close()
            await send({"type": "lifespan.shutdown.complete"})
            return


async def _end() -> None:
    if (found := known_gateway()) is not None:
        await found.admission.close(settings.SHUTDOWN_SECONDS)
