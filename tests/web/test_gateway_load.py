"""Counts are exact under load, and a caller who leaves stops the engine."""

import asyncio
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest
from django.db.models import Sum

from responses_api.models import ResponseRecord, Session
from tests.fakes.scripted_vllm import Step
from tests.web.gateway_server import Site, running, until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def site() -> Iterator[Site]:
    with running(engines=2) as started:
        yield started


async def _ask_all(site: Site, number: int) -> list[httpx.Response]:
    headers = {"authorization": f"Bearer {site.key}"}
    limits = httpx.Limits(max_connections=number, max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=site.url, headers=headers, limits=limits, timeout=60) as client:
        return await asyncio.gather(
            *(
                client.post(
                    "/responses",
                    json={"model": "tiny", "input": "one two three"},
                    headers={"x-session-id": f"s{index % 50}"},
                )
                for index in range(number)
            )
        )


def test_two_hundred_at_once_are_counted_exactly(site: Site) -> None:
    for engine in site.engines:
        engine.always = Step(delay=0.1)
    answers = asyncio.run(_ask_all(site, 200))
    assert {answer.status_code for answer in answers} == {200}
    assert ResponseRecord.objects.count() == 200
    assert {answer.json()["id"] for answer in answers} == set(
        ResponseRecord.objects.values_list("response_id", flat=True)
    )
    assert Session.objects.count() == 50
    assert set(Session.objects.values_list("requests", flat=True)) == {4}
    assert Session.objects.aggregate(tokens=Sum("input_tokens"))["tokens"] == 600
    homes = Counter(Session.objects.values_list("endpoint__name", flat=True))
    assert homes == {"engine-0": 25, "engine-1": 25}
    assert [len(engine.chats) for engine in site.engines] == [100, 100]


def test_a_caller_who_leaves_stops_the_engine_and_is_recorded(site: Site) -> None:
    site.engines[0].script.append(Step(hang=True))
    site.leave(lambda: site.engines[0].chats, x_session_id="mine")
    until(lambda: site.engines[0].requests[0].client_left)
    row = until(ResponseRecord.objects.first)
    assert (row.status, row.error_code, row.http_status) == ("failed", "client_left", 499)
    assert (row.endpoint_name, row.attempts) == ("engine-0", 1)
    assert Session.objects.get().errors == 1
    assert len(site.engines[1].chats) == 0


def test_a_caller_who_leaves_in_the_middle_of_the_body_is_nobody(site: Site) -> None:
    async def half() -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", site.server.port)
        writer.write(b"POST /v1/responses HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.close()
        await writer.wait_closed()

    asyncio.run(half())
    assert site.ask().status_code == 200
    assert ResponseRecord.objects.count() == 1


def test_connections_are_kept_and_requests_follow_each_other(site: Site) -> None:
    with site.client(x_session_id="mine") as client:
        for number in range(20):
            text = client.post("/responses", json={"model": "tiny", "input": f"n{number}"}).json()["output"][0][
                "content"
            ]
            assert text[0]["text"] == f"echo: n{number}"
    assert Session.objects.get().requests == 20
