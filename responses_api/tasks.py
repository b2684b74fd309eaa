"""What beat asks for: an end to what has expired, and to what was left unfinished."""

from datetime import timedelta

from celery import shared_task
from django.conf import settings

from responses_api import retention
from responses_api.ledger import replay


@shared_task(name="responses_api.prune")
def prune() -> None:
    """Delete stored responses that have expired, and what is old in the ledger."""
    retention.prune()
    retention.prune_ledger(settings.LEDGER_DAYS, settings.USAGE_DAYS)


@shared_task(name="responses_api.replay_spool")
def replay_spool() -> None:
    """Bring into the database what killed processes left in the spool."""
    replay.adopt(settings.DATA_DIR.spool)


@shared_task(name="responses_api.expire_sessions")
def expire_sessions() -> None:
    """Delete sessions that nobody uses any more, and what conversations are known by that nobody goes on with."""
    idle = timedelta(days=settings.SESSION_IDLE_DAYS)
    retention.expire_sessions(idle)
    retention.expire_fingerprints(idle)


@shared_task(name="responses_api.give_up_lost")
def give_up_lost() -> None:
    """Let responses fail that a process in the background left unfinished."""
    retention.give_up_lost()
