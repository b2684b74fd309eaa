"""The door for everything that the gateway writes: session pins, ledger rows, counters.

`Ledger` is the face; `writer` commits whatever is queued in one transaction, from one thread; `statements` holds the
SQL; `rows` what is handed over. No answer leaves before its commit, so counts are exact and survive a `kill -9`.
"""

from responses_api.ledger.ledger import Ledger
from responses_api.ledger.rows import Pin, Place, Row

__all__ = ["Ledger", "Pin", "Place", "Row"]
