"""The door for everything that the gateway writes: session pins, ledger rows, counters, stored responses.

`Ledger` is the face; `writer` commits whatever is queued, from one thread, and `batch` all of it in one transaction;
`statements`, `stored` and `usage` hold the SQL, `changes` what is done too rarely to need any; `rows` what is handed
over; `moves` reads what other processes bound anew. While the database is away, `away` decides, `spool` keeps the rows
on the disk, and `replay` brings them back.
No answer leaves before its commit, so counts are exact and survive a `kill -9`.
"""

from responses_api.ledger.away import SPOOL_BYTES, Away
from responses_api.ledger.ledger import Ledger
from responses_api.ledger.rows import NamedItem, Pin, Place, Row, Stored
from responses_api.ledger.writer import Writer

__all__ = ["SPOOL_BYTES", "Away", "Ledger", "NamedItem", "Pin", "Place", "Row", "Stored", "Writer"]
