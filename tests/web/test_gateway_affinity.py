"""Every client's conversation stays on one engine, and different ones spread, whatever tells them apart."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from openai import OpenAI

from endpoints.models import ApiKey
from responses_api.models import Fingerprint, PoolTurn, ResponseRecord, Session
from tests.fakes.scripted_vllm import Step
from tests.web.gateway_server import Site, running

pytestmark = pytest.mark.django_db(transaction=True)

TURNS = 12
ENGINES = ("engine-0", "engine-1", "engine-2")
SYSTEM: Any = {"role": "system", "content": "Be brief."}

# One turn of a client: it is given a question and the conversation, which it lets grow, and returns nothing.
Turn = Callable[[OpenAI, list[Any], str], None]


@pytest.fixture
def site() -> Iterator[Site]:
    with running(engines=3) as started:
        yield started


def homes(site: Site) -> list[set[str]]:
    """Return the engines that each session was served by."""
    served: dict[int | None, set[str]] = {}
    for session, endpoint in ResponseRecord.objects.values_list("session_id", "endpoint_name"):
        served.setdefault(session, set()).add(endpoint)
    return [*served.values()]


def responses(client: OpenAI, conversation: list[Any], question: str) -> None:
    conversation.append({"role": "user", "content": question})
    conversation += client.responses.create(model="tiny", input=conversation, instructions="Be brief.").output


def responses_streamed(client: OpenAI, conversation: list[Any], question: str) -> None:
    conversation.append({"role": "user", "content": question})
    with client.responses.stream(model="tiny", input=[SYSTEM, *conversation]) as stream:
        text = stream.get_final_response().output_text
    conversation.append({"role": "assistant", "content": text})


def chat(client: OpenAI, conversation: list[Any], question: str) -> None:
    conversation.append({"role": "user", "content": question})
    answer = client.chat.completions.create(model="tiny", messages=[SYSTEM, *conversation])
    conversation.append(answer.choices[0].message)


def chat_streamed(client: OpenAI, conversation: list[Any], question: str) -> None:
    conversation.append({"role": "user", "content": question})
    stream: Any = client.chat.completions.create(model="tiny", messages=[SYSTEM, *conversation], stream=True)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    conversation.append({"role": "assistant", "content": text})


WAYS = [responses, responses_streamed, chat, chat_streamed]


@pytest.mark.parametrize("turn", WAYS, ids=lambda turn: turn.__name__)
def test_openais_client_stays_on_one_engine(site: Site, turn: Turn) -> None:
    conversation: list[Any] = []
    for number in range(TURNS):
        with site.openai() as client:  # a new one each time, so that there is no cookie
            turn(client, conversation, f"Question {number}?")
    assert [session.requests for session in Session.objects.all()] == [TURNS]
    assert len(homes(site)) == len(homes(site)[0]) == 1


@pytest.mark.parametrize("turn", WAYS, ids=lambda turn: turn.__name__)
def test_conversations_with_one_system_prompt_spread_from_one_client(site: Site, turn: Turn) -> None:
    """One client and its one cookie jar run 60 conversations in turns."""
    conversations: list[list[Any]] = [[] for _ in range(60)]
    with site.openai() as client:
        for question in ("One?", "Two?", "Three?"):
            for number, conversation in enumerate(conversations):
                turn(client, conversation, f"{question} I am number {number}.")
    assert [len(engines) for engines in homes(site)] == [1] * 60
    assert Counter(engine for engines in homes(site) for engine in engines) == {
        "engine-0": 20,
        "engine-1": 20,
        "engine-2": 20,
    }
    assert set(Session.objects.values_list("requests", flat=True)) == {3}


def naming(name: str, number: int) -> dict[str, Any]:
    """Return what a request says of its session, and nothing of the conversation."""
    ways: dict[str, dict[str, Any]] = {
        "prompt_cache_key": {"json": {"prompt_cache_key": "run-1"}},
        "metadata": {"json": {"metadata": {"session_id": "run-1"}}},
        "X-Session-ID": {"headers": {"X-Session-ID": "run-1"}},
        "session-id": {"headers": {"session-id": "run-1"}},
    }
    given = ways[name]
    return {**given, "json": {"model": "tiny", "input": f"Turn {number}", **given.get("json", {})}}


@pytest.mark.parametrize("name", ["prompt_cache_key", "metadata", "X-Session-ID", "session-id"])
def test_a_name_is_enough(site: Site, name: str) -> None:
    for number in range(TURNS):
        with site.client() as client:
            assert client.post("/responses", **naming(name, number)).status_code == 200
    assert (Session.objects.get().requests, len(homes(site)[0])) == (TURNS, 1)
    assert not Fingerprint.objects.exists()


def test_a_previous_response_is_enough(site: Site) -> None:
    previous = None
    for number in range(TURNS):
        with site.client() as client:
            asked = {"model": "tiny", "input": f"Turn {number}", "previous_response_id": previous}
            previous = client.post("/responses", json=asked).json()["id"]
    assert (Session.objects.get().requests, len(homes(site)[0])) == (TURNS, 1)


def test_a_cookie_is_enough_and_counts_for_its_conversation_alone(site: Site) -> None:
    opening = {"role": "user", "content": "Begin."}
    with site.client() as client:
        for number in range(TURNS):
            later = [{"role": "user", "content": f"Turn {number}"}] if number else []
            assert client.post("/responses", json={"model": "tiny", "input": [opening, *later]}).status_code == 200
        assert Session.objects.get().requests == TURNS
        another = client.post("/responses", json={"model": "tiny", "input": "Something else."})
    assert "set-cookie" in another.headers
    assert Session.objects.count() == 2


def test_cookies_tell_conversations_apart_that_are_the_same_to_the_word(site: Site) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(site.client()) for _ in range(6)]
        for step in range(1, 8, 2):
            for client in clients:
                texts = [text for turn in range(4) for text in (f"Turn {turn}.", f"echo: Turn {turn}.")]
                ask(client, *texts[:step])
    assert {*Session.objects.values_list("requests", flat=True)} == {4}
    assert Counter(engine for engines in homes(site) for engine in engines) == dict.fromkeys(ENGINES, 2)


def test_conversations_part_that_one_cookie_jar_has_mixed_up(site: Site) -> None:
    """They begin with the same words, so that the jar's one cookie fits all of them, and are answered differently."""
    for name, engine in zip(ENGINES, site.engines, strict=True):
        engine.script.extend(Step(message={"content": f"Sample {number} of {name}."}) for number in range(2))
    firsts = []
    with site.client() as jar:
        for _ in range(6):
            with site.client() as client:
                firsts.append(ask(client, "Begin."))
            jar.cookies.update(client.cookies)
        for first in firsts:
            said = first.json()["output"][0]["content"][0]["text"]
            assert ask(jar, "Begin.", said, "And now?").headers["x-session-id"] == first.headers["x-session-id"]


def ask(client: httpx.Client, *texts: str) -> httpx.Response:
    """Ask in a conversation whose turns are these, the user's first."""
    roles = ("user", "assistant")
    given = [{"role": roles[number % 2], "content": text} for number, text in enumerate(texts)]
    return client.post("/responses", json={"model": "tiny", "input": given})


def test_histories_that_were_changed_fall_back_to_what_is_known_of_them(site: Site) -> None:
    def session(*texts: str) -> str:
        with site.client() as client:
            response = ask(client, *texts)
        assert response.status_code == 200, response.text
        return response.headers["x-session-id"]

    first = session("a")
    assert session("a", "echo: a", "b") == first
    assert session("a", "echo: a", "b", "echo: b", "c") == first
    assert session("a", "echo: a", "b", "I changed this", "c") == first  # the first answer is still there
    assert session("a", "echo: a", "another b") == first
    assert session("a", "I changed this", "b") != first
    assert session("b", "echo: b", "c") != first  # the beginning was cut off
    assert session("a") != first  # a shared beginning is no conversation


def test_a_summary_keeps_the_session(site: Site) -> None:
    with site.client() as client:
        first = ask(client, "a")
    given = [{"role": "user", "content": "a"}, *first.json()["output"]]
    with site.client() as client:
        compacted = client.post("/responses/compact", json={"model": "tiny", "input": given})
    with site.client() as client:
        asked = [*compacted.json()["output"], {"role": "user", "content": "b"}]
        after = client.post("/responses", json={"model": "tiny", "input": asked})
    assert len({answer.headers["x-session-id"] for answer in (first, compacted, after)}) == 1


def test_a_conversation_is_known_to_every_process_and_after_a_restart(site: Site) -> None:
    conversation = ["a"]
    sessions: set[str] = set()

    def go_on(used: Site) -> None:
        with used.client() as client:
            response = ask(client, *conversation)
        sessions.add(response.headers["x-session-id"])
        conversation.extend([f"echo: {conversation[-1]}", f"{conversation[-1]}."])

    go_on(site)
    with Site.another(site) as other:
        for used in (other, site, other):
            go_on(used)
    site.server.stop()
    site.server.start()
    go_on(site)
    assert len(sessions) == 1
    assert PoolTurn.objects.get().taken == 1


def test_callers_do_not_share_conversations(site: Site) -> None:
    with site.client() as client:
        first = ask(client, "a")
    _, other = ApiKey.issue(name="other")
    site.refresh()
    with site.client(authorization=f"Bearer {other}") as client:
        second = ask(client, "a", "echo: a", "b")
    assert first.headers["x-session-id"] != second.headers["x-session-id"]


def test_a_failed_answer_is_not_remembered_and_an_empty_one_neither(site: Site) -> None:
    site.engines[0].script.extend([Step(status=400, body={"error": {"message": "no"}}), Step(message={"content": ""})])
    site.engines[1].script.append(Step(message={"content": ""}))
    for _ in range(2):
        with site.client() as client:
            ask(client, "a")
    assert not Fingerprint.objects.exists()
