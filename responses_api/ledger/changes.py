"""Changes of what is stored that are rare enough for the ORM. Each runs in the writer's transaction.

What belongs to another caller is not there: every function takes the caller's id, and finds nothing else.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import QuerySet

from responses_api.ledger import statements, stored, usage
from responses_api.ledger.rows import NamedItem, Stored
from responses_api.models import Conversation, ResponseRecord, StoredItem, StoredResponse

RUNNING = (StoredResponse.Status.QUEUED, StoredResponse.Status.IN_PROGRESS)
LOST_CODE = "process_lost"
# For so long after a lease was first found past, its process may still renew it: it could not, if the database was
# away, and begins with what is in its spool.
DOUBT_SECONDS = 60.0


def begin(row: Stored) -> None:
    """Store a response that will be worked on in the background."""
    with connection.cursor() as cursor:
        stored.insert_all(cursor, [row])


def start(response_id: str) -> bool:
    """Note that the work on a queued response begins; return False if it is no longer wanted."""
    queued = StoredResponse.objects.filter(response_id=response_id, status=StoredResponse.Status.QUEUED)
    return queued.update(status=StoredResponse.Status.IN_PROGRESS) > 0


def renew(response_ids: Sequence[str], until: datetime) -> None:
    """Say that this process still works on these."""
    mine = StoredResponse.objects.filter(response_id__in=response_ids, status__in=RUNNING)
    mine.update(lease_until=until, doubted_at=None)


def keep_events(response_id: str, events: bytes) -> None:
    """Store the events of a stream that has ended, so that it can be read again."""
    StoredResponse.objects.filter(response_id=response_id).update(events=events)


def cancel(caller_id: int, response_id: str) -> bool:
    """Cancel a response; return False if it does not run any more."""
    running = StoredResponse.objects.filter(caller_id=caller_id, response_id=response_id, status__in=RUNNING)
    return running.update(status=StoredResponse.Status.CANCELLED, lease_until=None) > 0


def give_up_lost(now: datetime, response_id: str | None = None) -> int:
    """Let responses fail whose process is gone, or this one if its process is; return how many.

    A lease that is past says that its process is gone, or that nobody could reach the database. So it is doubted first,
    and given up once the process had time enough to renew it since then.
    """
    past = StoredResponse.objects.filter(status__in=RUNNING, lease_until__lt=now)
    if response_id is not None:
        past = past.filter(response_id=response_id)
    past.filter(doubted_at=None).update(doubted_at=now)
    return _give_up(now, past.filter(doubted_at__lte=now - timedelta(seconds=DOUBT_SECONDS)))


def give_up(now: datetime, response_ids: Iterable[str]) -> int:
    """Let these responses fail, because this process, which works on them, ends; return how many."""
    return _give_up(now, StoredResponse.objects.filter(status__in=RUNNING, response_id__in=[*response_ids]))


def _give_up(now: datetime, lost: QuerySet[StoredResponse]) -> int:
    """Let them fail, and count them in the ledger."""
    records: list[ResponseRecord] = []
    for row in lost.only("response_id", "profile_name", "caller_name", "created_at", "lease_until"):
        same = StoredResponse.objects.filter(pk=row.pk, lease_until=row.lease_until, status__in=RUNNING)
        if same.update(status=StoredResponse.Status.FAILED, lease_until=None):
            records.append(
                ResponseRecord(
                    response_id=row.response_id,
                    api="responses",
                    profile_name=row.profile_name,
                    caller_name=row.caller_name,
                    status=ResponseRecord.Status.FAILED,
                    http_status=500,
                    error_code=LOST_CODE,
                    attempts=0,
                    duration_ms=max(0, int((now - row.created_at).total_seconds() * 1000)),
                    created_at=row.created_at,
                )
            )
    # A process that was stopped in good order has written some of these rows itself.
    with connection.cursor() as cursor:
        known = statements.written(cursor, [record.response_id for record in records])
        new = [record for record in records if record.response_id not in known]
        ResponseRecord.objects.bulk_create(new)
        usage.count(cursor, new)
    return len(records)


def delete_response(caller_id: int, response_id: str) -> bool:
    """Delete a response; return False if there is none. What it added to a conversation stays there."""
    gone, _ = StoredResponse.objects.filter(caller_id=caller_id, response_id=response_id).delete()
    if gone:
        StoredItem.objects.filter(response_id=response_id, conversation=None).delete()
    return gone > 0


def create_conversation(row: Conversation, items: Sequence[NamedItem]) -> None:
    """Store a new conversation with its first items."""
    row.save(force_insert=True)
    _append(row, items)


def update_conversation(caller_id: int, conversation_id: str, metadata: Mapping[str, str]) -> bool:
    """Replace the metadata of a conversation; return False if there is none."""
    found = Conversation.objects.filter(caller_id=caller_id, conversation_id=conversation_id)
    return found.update(metadata=metadata) > 0


def delete_conversation(caller_id: int, conversation_id: str) -> bool:
    """Delete a conversation and its items; return False if there is none. Its responses stay."""
    gone, _ = Conversation.objects.filter(caller_id=caller_id, conversation_id=conversation_id).delete()
    return gone > 0


def add_items(caller_id: int, conversation_id: str, items: Sequence[NamedItem]) -> bool:
    """Append items to a conversation; return False if there is none."""
    found = Conversation.objects.select_for_update().filter(caller_id=caller_id, conversation_id=conversation_id)
    conversation = found.first()
    if conversation is None:
        return False
    _append(conversation, items)
    return True


def delete_item(caller_id: int, conversation_id: str, item_id: str) -> bool:
    """Take an item out of a conversation; return False if it is not there."""
    gone, _ = StoredItem.objects.filter(
        caller_id=caller_id, conversation__conversation_id=conversation_id, item_id=item_id
    ).delete()
    return gone > 0


def _append(conversation: Conversation, items: Sequence[NamedItem]) -> None:
    StoredItem.objects.bulk_create(
        StoredItem(item_id=item.item_id, caller_id=conversation.caller_id, conversation=conversation, body=item.body)
        for item in items
    )
