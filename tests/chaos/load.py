"""Clients that keep asking, and what they were answered."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from responses_api.models import ResponseRecord, Session, UsageMinute
from tests.chaos.web_process import WebProcess
from tests.web.gateway_server import NO_TLS

PAUSE_SECONDS = 0.02


@dataclass
class Load:
    """What clients got: the ids of answers, and what went wrong otherwise."""

    answered: list[str] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)
    broken: int = 0  # connections that were refused or cut
    stop: threading.Event = field(default_factory=threading.Event)

    async def _client(self, number: int, process: WebProcess) -> None:
        headers = {"authorization": f"Bearer {process.key}", "x-session-id": f"session-{number}"}
        stream = number % 3 == 0
        body: dict[str, Any] = {
            "model": "tiny",
            "input": f"client {number}",
            "stream": stream,
            "store": number % 2 == 0,
        }
        async with httpx.AsyncClient(verify=NO_TLS, timeout=90, headers=headers) as client:
            while not self.stop.is_set():
                try:
                    await (self._streamed if stream else self._whole)(client, f"{process.url}/responses", body)
                except httpx.TransportError:
                    self.broken += 1
                await asyncio.sleep(PAUSE_SECONDS)

    async def _whole(self, client: httpx.AsyncClient, url: str, body: dict[str, Any]) -> None:
        answer = await client.post(url, json=body)
        if answer.status_code == 200:
            self.answered.append(answer.json()["id"])
        else:
            self.refused.append((answer.status_code, answer.text))

    async def _streamed(self, client: httpx.AsyncClient, url: str, body: dict[str, Any]) -> None:
        async with client.stream("POST", url, json=body) as answer:
            if answer.status_code != 200:
                self.refused.append((answer.status_code, (await answer.aread()).decode()))
                return
            async for line in answer.aiter_lines():
                if not line.startswith("data: {"):
                    continue
                event = json.loads(line[6:])
                if event["type"] == "response.completed":
                    self.answered.append(event["response"]["id"])
                elif event["type"] == "response.failed":
                    self.refused.append((200, line))


@contextmanager
def load(processes: list[WebProcess], clients: int = 24) -> Iterator[Load]:
    """Let so many clients ask the processes in turn, each in a session of its own, until the block ends."""
    found = Load()

    async def main() -> None:
        await asyncio.gather(*(found._client(number, processes[number % len(processes)]) for number in range(clients)))

    thread = threading.Thread(target=asyncio.run, args=(main(),), daemon=True)
    thread.start()
    try:
        yield found
    finally:
        found.stop.set()
        thread.join(120)
        assert not thread.is_alive()


def check(found: Load) -> None:
    """Every answer that a client got is in the ledger, once; and sessions and minutes agree with it, exactly."""
    assert found.answered
    assert len(found.answered) == len({*found.answered})
    recorded = {*ResponseRecord.objects.filter(status="completed").values_list("response_id", flat=True)}
    assert {*found.answered} <= recorded
    for session in Session.objects.all():
        rows = [*ResponseRecord.objects.filter(session=session)]
        assert session.requests == len(rows), session.key
        assert session.errors == sum(row.status == "failed" for row in rows)
        assert session.input_tokens == sum(row.input_tokens or 0 for row in rows)
        assert session.output_tokens == sum(row.output_tokens or 0 for row in rows)
    assert sum(UsageMinute.objects.values_list("requests", flat=True)) == ResponseRecord.objects.count()


def grows(numbers: Callable[[], int], *, by: int) -> Callable[[], bool]:
    """Return whether a number has grown by so much since this call."""
    before = numbers()
    return lambda: numbers() >= before + by
