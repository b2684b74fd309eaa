"""The Vercel AI SDK, with OpenAI's provider and with that of Open Responses."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.clients.programs import node
from tests.clients.scripts import OSLO, calling, ledger, roles, saying
from tests.web.gateway_server import Site

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("from_npm")]

TURN_ONE = ["system", "user"]
AFTER_THE_TOOL = [*TURN_ONE, "assistant", "tool"]
TURN_TWO = [*AFTER_THE_TOOL, "assistant", "user"]


def said(site: Site, home: Path, *how: str) -> Any:
    """Return what the script prints."""
    ran = node("ai_sdk.mjs", *how, home=home, ROUNDHOUSE_URL=site.url, ROUNDHOUSE_KEY=site.key)
    assert ran.status == 0, ran.stderr
    return msgspec.json.decode(ran.stdout)


@pytest.mark.parametrize(
    ("provider", "store", "how"),
    [
        ("openai", "forget", "generate"),
        ("openai", "seal", "stream"),
        ("openai", "store", "generate"),
        ("openai", "store", "stream"),
        ("open-responses", "store", "generate"),
        ("open-responses", "store", "stream"),
    ],
)
def test_it_runs_a_tool_and_goes_on(site: Site, tmp_path: Path, provider: str, store: str, how: str) -> None:
    site.engine.script.append(calling("weather", city="Oslo"))
    one, two = said(site, tmp_path, provider, how, store)
    call, answer = one["steps"]
    assert (call["finish"], call["calls"]) == ("tool-calls", [{"name": "weather", "input": {"city": "Oslo"}}])
    assert (call["results"], answer["finish"]) == (["rain in Oslo"], "stop")
    assert one["text"] == "echo: rain in Oslo"
    assert two["text"] == "echo: Thank you"
    assert all(step["usage"]["output"] > 0 for turn in (one, two) for step in turn["steps"])
    if how == "stream":
        assert one["pieces"] == ["echo:", " rain", " in", " Oslo"]
    assert [roles(chat) for chat in site.engine.chats] == [TURN_ONE, AFTER_THE_TOOL, TURN_TWO]
    # Reasoning goes back by reference or under seal alone.
    thought = site.engine.chats[2]["messages"][2].get("reasoning")
    assert thought == ("I need weather." if (provider, store) in {("openai", "store"), ("openai", "seal")} else None)
    assert ledger() == [("responses", "completed")] * 3


@pytest.mark.parametrize("provider", ["openai", "open-responses"])
def test_it_answers_in_a_structure(site: Site, tmp_path: Path, provider: str) -> None:
    site.engine.script.append(saying(OSLO.model_dump_json()))
    assert said(site, tmp_path, provider, "object") == OSLO.model_dump()
    assert site.engine.chats[0]["response_format"]["type"] == "json_schema"
