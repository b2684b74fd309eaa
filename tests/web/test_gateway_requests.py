"""What the profile and the request ask for, over real sockets."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from responses_api.models import ResponseRecord
from tests.fakes.scripted_vllm import Step
from tests.web import streams
from tests.web.gateway_server import Site, record, running

pytestmark = pytest.mark.django_db(transaction=True)

HI = {"role": "user", "content": "hi"}
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]}
PATCH = {"type": "custom", "name": "patch", "description": "Patches."}


@pytest.fixture
def site() -> Iterator[Site]:
    with running() as started:
        yield started


def test_tools_that_no_engine_runs_are_named(site: Site) -> None:
    response = site.ask(tools=[PATCH, {"type": "web_search"}])
    assert response.headers["x-roundhouse-dropped-tools"] == "web_search"
    assert [tool["function"]["name"] for tool in site.engine.chats[0]["tools"]] == ["patch"]


def test_a_custom_tool_is_called_with_text(site: Site) -> None:
    text = 'say "hi"\n'
    for _ in range(2):
        call = {"id": "call_1", "function": {"name": "patch", "arguments": '{"input": "say \\"hi\\"\\n"}'}}
        site.engine.script.append(Step(message={"content": None, "tool_calls": [call]}))
    item = site.ask(tools=[PATCH]).json()["output"][0]
    assert (item["type"], item["call_id"], item["name"], item["input"]) == ("custom_tool_call", "call_1", "patch", text)
    streamed = streams.ask(site, tools=[PATCH])
    kinds = [event["type"] for event in streamed.events]
    assert "response.custom_tool_call_input.done" in kinds
    deltas = [event["delta"] for event in streamed.events if event["type"].endswith("input.delta")]
    assert "".join(deltas) == text
    assert streamed.last["output"][0]["input"] == text
    result = {"type": "custom_tool_call_output", "call_id": "call_1", "output": "done"}
    assert site.ask([HI, item, result], tools=[PATCH]).status_code == 200
    assert site.engine.chats[-1]["messages"][-1] == {"role": "tool", "tool_call_id": "call_1", "content": "done"}


def test_an_audio_file_reaches_the_engine(site: Site, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    site.profile.audio_root = str(tmp_path)
    site.profile.save()
    site.refresh()
    response = site.ask("What was that?", metadata={"audio_path": "a.wav"})
    assert response.status_code == 200
    assert response.json()["metadata"] == {"audio_path": "a.wav"}
    audio, text = site.engine.chats[0]["messages"][0]["content"]
    assert audio == {"type": "audio_url", "audio_url": {"url": "data:audio/wav;base64,UklGRg=="}}
    assert text["text"] == "What was that?"
    refused = site.ask(metadata={"audio_path": "../a.wav"})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "metadata.audio_path")


def test_a_loop_of_thoughts_ends_without_an_engine(site: Site) -> None:
    site.profile.sequential_reasoning_allowed = False
    site.profile.save()
    site.refresh()
    row = record(site.ask([HI, THOUGHT]))
    assert (row.status, row.empty_cause, row.finish_reason) == ("incomplete", "sequential_stop", "content_filter")
    assert streams.ask(site, [HI, THOUGHT]).last["incomplete_details"] == {"reason": "content_filter"}
    chunks = streams.ask_chat(site, messages=[HI, {"role": "assistant", "content": "<think>hm</think>"}])
    assert chunks[-1]["choices"][0]["finish_reason"] == "content_filter"
    assert site.engine.chats == []
    assert ResponseRecord.objects.filter(empty_cause="sequential_stop").count() == 3


def test_a_conversation_that_does_not_fit_is_shortened_if_the_caller_lets_us(site: Site) -> None:
    site.engine.max_model_len = 40
    old = {"role": "user", "content": " ".join(["word"] * 60)}
    answered = {"role": "assistant", "content": "yes"}
    body = site.ask([old, answered, HI], truncation="auto").json()
    assert (body["status"], body["truncation"]) == ("completed", "auto")
    assert site.engine.chats[-1]["messages"] == [HI]
    assert site.ask([old, answered, HI]).json()["status"] == "incomplete"
