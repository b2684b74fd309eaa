"""Responses that run without their caller: polled, cancelled, read along, and never left hanging."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI
from openai.types.responses import Response
from pytest_django import Settings

from responses_api import background
from responses_api.ledger.changes import DOUBT_SECONDS, give_up_lost
from responses_api.models import ResponseRecord, StoredResponse
from tests.contract.life import check_stream, read_events
from tests.fakes.scripted_vllm import Step
from tests.lock import locked
from tests.web.gateway_server import Site, running, until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def site() -> Iterator[Site]:
    with running() as started:
        yield started


@pytest.fixture
def client(site: Site) -> Iterator[OpenAI]:
    with site.openai() as made:
        yield made


def begin(client: OpenAI, given: str = "hi", **fields: Any) -> Response:
    begun: Response = client.responses.create(model="tiny", input=given, background=True, **fields)
    return begun


def streamed(client: OpenAI, given: str = "hi") -> Any:
    return client.responses.create(model="tiny", input=given, background=True, stream=True)


def ended(client: OpenAI, response_id: str) -> Response:
    def look() -> Response | None:
        found = client.responses.retrieve(response_id)
        return None if found.status in {"queued", "in_progress"} else found

    found: Response = until(look)
    return found


def test_it_is_queued_at_once_and_its_caller_comes_back(site: Site, client: OpenAI) -> None:
    site.engine.script.append(Step(hang=True))
    queued = begin(client, metadata={"a": "b"})
    assert (queued.status, queued.output, queued.background) == ("queued", [], True)
    until(lambda: site.engine.chats)
    assert client.responses.retrieve(queued.id).status == "in_progress"
    site.engine.go_on()
    done = ended(client, queued.id)
    assert (done.status, done.output_text, done.metadata) == ("completed", "echo: hi", {"a": "b"})
    assert done.background
    row = ResponseRecord.objects.get(response_id=queued.id)
    assert (row.status, row.http_status) == ("completed", 200)
    after = client.responses.create(model="tiny", input="and now?", previous_response_id=queued.id)
    assert after.output_text == "echo: and now?"
    assert len(site.engine.chats[-1]["messages"]) == 3
    (item,) = client.responses.input_items.list(queued.id)
    assert item.model_dump()["content"][0]["text"] == "hi"


def test_what_still_runs_cannot_be_continued(site: Site, client: OpenAI) -> None:
    site.engine.script.append(Step(hang=True))
    queued = begin(client)
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="tiny", input="hi", previous_response_id=queued.id)
    assert caught.value.param == "previous_response_id"
    client.responses.cancel(queued.id)


def test_a_cancellation_reaches_the_engine_at_once(site: Site, client: OpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "LOOK_SECONDS", 60)
    site.engine.script.append(Step(hang=True))
    queued = begin(client)
    until(lambda: site.engine.chats)
    cancelled = client.responses.cancel(queued.id)
    assert (cancelled.status, cancelled.id) == ("cancelled", queued.id)
    until(lambda: site.engine.requests[-1].client_left, seconds=20)
    assert client.responses.cancel(queued.id).status == "cancelled"
    assert client.responses.retrieve(queued.id).status == "cancelled"
    row = until(lambda: ResponseRecord.objects.filter(response_id=queued.id).first())
    assert (row.status, row.error_code) == ("failed", "cancelled")


def test_one_that_is_slow_to_be_stored_is_not_taken_for_deleted(
    site: Site, client: OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "LOOK_SECONDS", 0.01)
    site.engine.script.append(Step(hang=True))
    looked_after = begin(client)
    until(lambda: site.engine.chats)
    with ThreadPoolExecutor() as threads:
        with locked("responses_api_storedresponse"):
            slow = threads.submit(begin, client)
            with pytest.raises(TimeoutError):
                slow.result(timeout=0.3)
        assert ended(client, slow.result(timeout=60).id).output_text == "echo: hi"
    client.responses.cancel(looked_after.id)


def test_so_many_run_at_once_and_the_others_wait_their_turn(settings: Settings) -> None:
    settings.BACKGROUND_RUNNING = 1
    with running() as site, site.openai() as client:
        site.engine.script.append(Step(hang=True))
        first, second, third = begin(client, "one"), begin(client, "two"), begin(client, "three")
        until(lambda: site.engine.chats)
        assert client.responses.cancel(second.id).status == "cancelled"
        assert client.responses.retrieve(third.id).status == "queued"
        client.responses.cancel(first.id)
        assert ended(client, third.id).output_text == "echo: three"
        assert len(site.engine.chats) == 2


def test_a_reader_of_one_that_never_began_is_told(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.BACKGROUND_RUNNING = 1
    monkeypatch.setattr(background, "LOOK_SECONDS", 60)
    with running() as site, site.openai(timeout=30) as client, ThreadPoolExecutor() as threads:
        site.engine.script.append(Step(hang=True))
        first = begin(client)
        until(lambda: site.engine.chats)
        reading = threads.submit(lambda: [*streamed(client)])
        waiting = until(lambda: StoredResponse.objects.filter(status="queued").first())
        StoredResponse.objects.filter(pk=waiting.pk).update(status="cancelled")  # as another process does it
        client.responses.cancel(first.id)
        assert reading.result(timeout=30)[-1].response.error.message == background.CANCELLED
        assert len(site.engine.chats) == 1


def test_another_process_may_cancel_it(site: Site, client: OpenAI) -> None:
    site.engine.script.append(Step(hang=True))
    queued = begin(client)
    until(lambda: site.engine.chats)
    with Site.another(site) as other, other.openai() as there:
        assert there.responses.cancel(queued.id).status == "cancelled"
        until(lambda: site.engine.requests[-1].client_left)


def test_one_that_is_deleted_is_ended(site: Site, client: OpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "LOOK_SECONDS", 60)
    site.engine.script.append(Step(hang=True))
    queued = begin(client)
    until(lambda: site.engine.chats)
    client.responses.delete(queued.id)
    until(lambda: site.engine.requests[-1].client_left, seconds=20)
    assert not StoredResponse.objects.exists()


def test_one_that_has_ended_is_not_cancelled_and_one_in_the_foreground_cannot_be(client: OpenAI) -> None:
    done = ended(client, begin(client).id)
    assert client.responses.cancel(done.id).status == "completed"
    plain = client.responses.create(model="tiny", input="hi")
    with pytest.raises(openai.BadRequestError, match="background"):
        client.responses.cancel(plain.id)


def test_an_error_is_told_when_the_caller_comes_back(site: Site, client: OpenAI) -> None:
    site.engine.script.append(Step(status=400, body={"error": {"message": "top_k is odd"}}))
    failed = ended(client, begin(client).id)
    assert failed.status == "failed"
    assert failed.error is not None
    assert failed.error.message == "top_k is odd"
    row = ResponseRecord.objects.get(response_id=failed.id)
    assert (row.status, row.http_status, row.detail) == ("failed", 400, "top_k is odd")


def test_what_can_be_refused_at_once_is(site: Site, client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        begin(client, previous_response_id="resp_0")
    assert not StoredResponse.objects.exists()


def test_its_events_stream_and_can_be_read_again(site: Site, client: OpenAI) -> None:
    with site.client() as plain:
        body = {"model": "tiny", "input": "hi", "background": True, "stream": True}
        live = plain.post("/responses", json=body)
        events = read_events(live.content)
        check_stream(events)
        response_id = events[0]["response"]["id"]
        until(lambda: StoredResponse.objects.filter(events__isnull=False).exists())
        again = plain.get(f"/responses/{response_id}?stream=true")
        assert again.content == live.content
        with plain.stream("GET", f"/responses/{response_id}?stream=true&starting_after=3") as rest:
            assert rest.read() == b"\n\n".join(live.content.split(b"\n\n")[4:])
        assert ended(client, response_id).output_text == "echo: hi"
        with client.responses.retrieve(response_id, stream=True, starting_after=2) as stream:
            assert [event.sequence_number for event in stream] == [*range(3, len(events))]


def test_a_stream_survives_its_reader(site: Site, client: OpenAI) -> None:
    site.engine.script.append(Step(gap=0.1))
    with streamed(client, "one two three four five") as stream:
        first = next(iter(stream))
    response_id = first.response.id
    with client.responses.retrieve(response_id, stream=True, starting_after=0) as again:
        events = [*again]
    assert [event.sequence_number for event in events] == [*range(1, len(events) + 1)]
    assert events[-1].type == "response.completed"
    assert ended(client, response_id).output_text == "echo: one two three four five"


def test_a_cancelled_stream_ends(site: Site, client: OpenAI) -> None:
    site.engine.script.append(Step(stall=True))
    with streamed(client, "one two three") as stream:
        events = iter(stream)
        response_id = next(events).response.id
        assert client.responses.cancel(response_id).status == "cancelled"
        last = [*events][-1]
    assert (last.type, last.response.error.message) == ("response.failed", "The response was cancelled.")
    assert client.responses.retrieve(response_id).status == "cancelled"
    until(lambda: StoredResponse.objects.filter(events__isnull=False).exists())
    with client.responses.retrieve(response_id, stream=True) as again:
        assert [*again][-1] == last


def test_another_process_sends_the_stream_once_it_is_whole(site: Site, client: OpenAI) -> None:
    site.engine.script.append(Step(gap=0.05))
    with streamed(client, "one two three four five") as stream:
        response_id = next(iter(stream)).response.id
        with Site.another(site) as other, other.openai() as there:
            events = [*there.responses.retrieve(response_id, stream=True)]
    assert [event.sequence_number for event in events] == [*range(len(events))]
    assert events[-1].type == "response.completed"


def test_a_stream_that_fails_before_it_begins_is_a_stream_nevertheless(site: Site, client: OpenAI) -> None:
    site.engine.script.append(Step(status=400, body={"error": {"message": "top_k is odd"}}))
    events = [*streamed(client)]
    assert [event.type for event in events] == ["response.created", "response.in_progress", "response.failed"]
    assert ended(client, events[0].response.id).status == "failed"


def test_what_has_no_stream_says_so(site: Site, client: OpenAI) -> None:
    plain, polled = client.responses.create(model="tiny", input="hi"), ended(client, begin(client).id)
    for response in (plain, polled):
        with pytest.raises(openai.BadRequestError) as caught:
            client.responses.retrieve(response.id, stream=True)
        assert caught.value.param == "stream"


def test_a_process_that_stops_leaves_nothing_in_progress(site: Site, client: OpenAI) -> None:
    site.engine.script.append(Step(hang=True))
    queued = begin(client)
    until(lambda: site.engine.chats)
    site.server.stop()
    row = StoredResponse.objects.get(response_id=queued.id)
    assert (row.status, row.lease_until) == ("failed", None)
    site.server.start()
    with site.client() as again:
        found: httpx.Response = again.get(f"/responses/{queued.id}")
    assert found.json()["status"] == "failed"
    assert "ended before it was done" in found.json()["error"]["message"]
    assert ResponseRecord.objects.get(response_id=queued.id).status == "failed"


def test_a_process_that_is_killed_is_noticed_by_whoever_asks(client: OpenAI) -> None:
    done = ended(client, begin(client).id)
    past = datetime.now(UTC) - timedelta(seconds=1)
    ResponseRecord.objects.all().delete()
    StoredResponse.objects.filter(response_id=done.id).update(status="in_progress", lease_until=past)
    body = StoredResponse.objects.get().body
    StoredResponse.objects.update(body=bytes(body).replace(b'"status":"completed"', b'"status":"queued"'))
    # It may be that only the database was away: then the process renews its lease.
    assert client.responses.retrieve(done.id).status == "in_progress"
    doubted = StoredResponse.objects.get().doubted_at
    assert client.responses.retrieve(done.id).status == "in_progress"
    assert doubted == StoredResponse.objects.get().doubted_at
    StoredResponse.objects.update(doubted_at=past - timedelta(seconds=DOUBT_SECONDS))
    lost = client.responses.retrieve(done.id)
    assert lost.status == "failed"
    assert lost.error is not None
    assert "ended before it was done" in lost.error.message
    row = ResponseRecord.objects.get(response_id=done.id)
    assert (row.status, row.error_code, row.http_status) == ("failed", "process_lost", 500)


def test_its_lease_is_renewed_while_it_runs_and_before_it_is_given_up(site: Site, client: OpenAI) -> None:
    """As after minutes without the database: whoever comes first finds every lease past."""
    site.engine.script.append(Step(hang=True))
    queued = begin(client)
    until(lambda: site.engine.chats)
    past = datetime.now(UTC) - timedelta(minutes=5)
    StoredResponse.objects.update(lease_until=past)
    assert give_up_lost(datetime.now(UTC)) == 0
    assert client.responses.retrieve(queued.id).status == "in_progress"
    until(lambda: StoredResponse.objects.get().doubted_at is None)
    assert give_up_lost(datetime.now(UTC) + timedelta(seconds=1)) == 0
    client.responses.cancel(queued.id)
