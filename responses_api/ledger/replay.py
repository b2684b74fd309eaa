"""From the spool into the database, each line once."""

import logging
from collections.abc import Sequence
from pathlib import Path

from django.db import connection, transaction

from responses_api.ledger import spool
from responses_api.ledger.batch import AWAY, Job, Write, commit

logger = logging.getLogger(__name__)


def check_database() -> None:
    """Return if the database takes a transaction. Raises what it raises."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def replay(folder: Path, lines: Sequence[bytes], write: Write = commit) -> None:
    """Write what the lines say. What is in the database already, by its id, is not written again; what the database
    refuses is set aside.

    Raises:
        DatabaseError: of those in AWAY, if the database is away.
        OSError: if something could not be set aside.
    """
    jobs: list[tuple[bytes, Job]] = []
    refused: list[bytes] = []
    for line in lines:
        try:
            jobs.append((line, Job(spool.decode(line), again=True)))
        except ValueError:
            refused.append(line)
    try:
        write([job for _, job in jobs])
    except AWAY:
        raise
    except Exception:  # noqa: BLE001  (not only the database's own: SQLite's driver has others)
        for line, job in jobs:
            try:
                write([job])
            except AWAY:
                raise
            except Exception:
                logger.exception("The database refuses a line of the spool.")
                refused.append(line)
    if refused:
        logger.error("%d lines of the spool are set aside in %s.", len(refused), folder / spool.REFUSED)
        spool.set_aside(folder, refused)


def adopt(folder: Path, write: Write = commit) -> int:
    """Replay what processes left behind that are gone; return how many lines that were. Raises what `replay` does."""
    total = 0
    for found in spool.left_behind(folder):
        try:
            place = 0
            while True:
                lines, place = found.read(place)
                if not lines:
                    break
                replay(folder, lines, write)
                total += len(lines)
        except BaseException:
            found.close()
            raise
        found.remove()
        logger.info("The spool %s, whose process is gone, is in the database.", found.path.name)
    return total
