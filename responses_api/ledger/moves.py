"""Which sessions were bound anew, by whichever process: what this one knows of them is put right within a second."""

from django.db.models import Max

from responses_api.ledger.rows import Pin, Place
from responses_api.models import SessionMove

# Rows may be committed in another order than that of their numbers: so many are read again.
OVERLAP = 100


class Moves:
    """The moves as one process reads them, from one thread."""

    def __init__(self) -> None:
        self._last: int | None = None

    def read(self) -> list[tuple[Place, Pin]]:
        """Return the sessions that moved since the last call, as they are bound now. The first call returns none."""
        newest = SessionMove.objects.aggregate(newest=Max("pk"))["newest"] or 0
        last, self._last = self._last, newest
        if last is None or last == newest:
            return []
        rows = SessionMove.objects.filter(pk__gt=last - OVERLAP).order_by().distinct()
        columns = ("profile_id", "caller_id", "key", "id", "endpoint_id")
        found = rows.values_list(*(f"session__{column}" for column in columns))
        return [(Place(*row[:3]), Pin(*row[3:])) for row in found]
