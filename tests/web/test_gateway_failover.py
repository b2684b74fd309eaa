"""An engine dies under two hundred conversations, and comes back."""

import asyncio
import json
import os
from collections import Counter
from typing import Any, NamedTuple

import httpx
import pytest

from endpoints.models import Endpoint
from responses_api.models import ResponseRecord, Session, SessionMove
from tests.fakes.scripted_vllm import Step
from tests.web.gateway_server import NO_TLS, Site, running, until

pytestmark = pytest.mark.django_db(transaction=True)

SESSIONS = 200
TURNS = int(os.environ.get("ROUNDHOUSE_TEST_CHAOS_TURNS", "4"))


class Turn(NamedTuple):
    """What a client saw of one request."""

    session: str
    streamed: bool
    status: int
    began: bool  # whether events had come, if it was streamed
    last_event: str
    served_by: str


async def _whole(client: httpx.AsyncClient, session: str) -> Turn:
    answer = await client.post(
        "/responses", json={"model": "tiny", "input": "one two three"}, headers={"x-session-id": session}
    )
    served_by = answer.headers.get("x-roundhouse-endpoint", "")
    return Turn(session, False, answer.status_code, False, "", served_by)


async def _streamed(client: httpx.AsyncClient, session: str) -> Turn:
    body = {"model": "tiny", "input": "one two three four five six", "stream": True}
    headers = {"x-session-id": session}
    async with client.stream("POST", "/responses", json=body, headers=headers) as answer:
        served_by = answer.headers.get("x-roundhouse-endpoint", "")
        kinds = [
            json.loads(line.removeprefix("data: "))["type"]
            async for line in answer.aiter_lines()
            if line.startswith("data: {")
        ]
        began = "response.created" in kinds
        return Turn(session, True, answer.status_code, began, kinds[-1] if kinds else "", served_by)


async def _converse(client: httpx.AsyncClient, session: str, number: int) -> list[Turn]:
    return [await (_streamed if (number + turn) % 2 else _whole)(client, session) for turn in range(TURNS)]


async def _all_converse(site: Site, kill: Any) -> list[Turn]:
    # A connection that the server gives up while it is idle would be an error that no engine made.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    headers = {"authorization": f"Bearer {site.key}"}
    async with httpx.AsyncClient(
        base_url=site.url, headers=headers, limits=limits, timeout=120, verify=NO_TLS
    ) as client:
        talks = [asyncio.create_task(_converse(client, f"s{number}", number)) for number in range(SESSIONS)]
        await asyncio.to_thread(kill)
        return [turn for talk in await asyncio.gather(*talks) for turn in talk]


def test_an_engine_that_dies_under_two_hundred_conversations_costs_no_answer_that_had_not_begun() -> None:
    with running(engines=3, hold_seconds=10) as site:
        for engine in site.engines:
            engine.always = Step(delay=0.05, gap=0.02)
        victim = site.engines[1]

        def kill() -> None:
            until(lambda: len(victim.chats) > SESSIONS // 3 + 20, seconds=60)
            victim.kill()

        turns = asyncio.run(_all_converse(site, kill))

        assert {turn.status for turn in turns} == {200}
        streams = [turn for turn in turns if turn.streamed]
        cut = [turn for turn in streams if turn.last_event != "response.completed"]
        assert {turn.last_event for turn in cut} <= {"response.failed"}
        assert all(turn.served_by == "engine-1" and turn.began for turn in cut)
        assert len(turns) == SESSIONS * TURNS == ResponseRecord.objects.count()
        assert ResponseRecord.objects.filter(status="failed").count() == len(cut)

        moves = [*SessionMove.objects.all()]
        assert {(move.old_endpoint, move.session_id) for move in moves} == {
            ("engine-1", move.session_id) for move in moves
        }
        assert len(moves) == len({move.session_id for move in moves})
        assert all("engine" in move.reason.lower() for move in moves)
        homes = Counter(Session.objects.values_list("endpoint__name", flat=True))
        # Whoever was served for the last time before it died has not been back.
        assert homes == Counter(turn.served_by for turn in turns[TURNS - 1 :: TURNS])

        victim.start()
        # Whoever is new comes back to it, the others stay where they are. It may not be tried for half a minute.
        served = until(lambda: _back(site), seconds=60)
        assert served == 200
        until(lambda: Endpoint.objects.get(name="engine-1").circuit_cause == "")
        assert SessionMove.objects.count() == len(moves)
        old = Counter(
            Session.objects.filter(key__in=[f"s{number}" for number in range(SESSIONS)]).values_list(
                "endpoint__name", flat=True
            )
        )
        assert old == homes


def _back(site: Site) -> int:
    answer = site.ask()
    assert answer.status_code == 200
    return 200 if answer.headers["x-roundhouse-endpoint"] == "engine-1" else 0
