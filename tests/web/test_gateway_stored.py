"""Stored responses and conversations, as OpenAI's client asks for them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI
from openai.types.responses.response_input_item_param import ItemReference

from endpoints.models import ApiKey, ConfigProfile
from responses_api.models import Conversation, StoredItem, StoredResponse
from tests.fakes.scripted_vllm import Step
from tests.web.gateway_server import Site, running

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def site() -> Iterator[Site]:
    with running() as started:
        yield started


@contextmanager
def stranger(site: Site) -> Iterator[OpenAI]:
    """The client of another key."""
    _, key = ApiKey.issue(name="stranger")
    site.refresh()
    with site.openai(api_key=key) as client:
        yield client


def code(caught: Any) -> tuple[int, str | None]:
    return caught.value.status_code, caught.value.code


def heard(site: Site) -> list[Any]:
    """Return the texts that the engine was told last."""
    contents = [message["content"] for message in site.engine.chats[-1]["messages"]]
    return [one if isinstance(one, str) else "".join(part["text"] for part in one) for one in contents]


def test_a_response_is_fetched_as_it_was_answered(site: Site) -> None:
    answer = site.ask("hi", metadata={"a": "b"})
    with site.client() as client:
        fetched = client.get(f"/responses/{answer.json()['id']}")
    assert fetched.json() == answer.json()
    with site.openai() as client_:
        found = client_.responses.retrieve(answer.json()["id"])
        assert (found.output_text, found.metadata) == ("echo: hi", {"a": "b"})


def test_a_streamed_and_a_failed_one_are_fetched_too(site: Site) -> None:
    with site.openai() as client:
        with client.responses.stream(model="tiny", input="hi") as stream:
            said = stream.get_final_response()
        assert client.responses.retrieve(said.id).output_text == "echo: hi"
        site.engine.script.append(Step(break_off="middle"))
        events = [*client.responses.create(model="tiny", input="hi", stream=True)]
        assert events[-1].type == "response.failed"
        broken = client.responses.retrieve(events[-1].response.id)
        assert (broken.status, broken.error and broken.error.code) == ("failed", "server_error")


def test_an_empty_answer_is_stored_as_well(site: Site) -> None:
    message = "This model's maximum context length is 2048 tokens. However, you requested 3000 tokens"
    site.engine.script.append(Step(status=400, body={"error": {"message": message, "code": 400}}))
    answer = site.ask("hi").json()
    with site.openai() as client:
        assert client.responses.retrieve(answer["id"]).status == "incomplete"


def test_only_its_caller_finds_it_and_only_as_long_as_it_is_there(site: Site) -> None:
    with site.openai() as client, stranger(site) as other:
        kept = client.responses.create(model="tiny", input="hi")
        not_kept = client.responses.create(model="tiny", input="hi", store=False)
        for asking, response_id in ((other, kept.id), (client, not_kept.id), (client, "resp_0")):
            for call in (
                asking.responses.retrieve,
                asking.responses.delete,
                asking.responses.cancel,
                asking.responses.input_items.list,
            ):
                with pytest.raises(openai.NotFoundError) as caught:
                    call(response_id)
                assert f"Response with id '{response_id}' not found." in caught.value.message
        client.responses.delete(kept.id)
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(kept.id)
    with site.client() as plain:
        answer = site.ask().json()
        deleted = plain.delete(f"/responses/{answer['id']}")
        assert deleted.json() == {"id": answer["id"], "object": "response", "deleted": True}
        assert plain.put(f"/responses/{answer['id']}").headers["allow"] == "GET, HEAD, DELETE"
        assert plain.get("/responses/x", headers={"authorization": "Bearer no"}).status_code == 401


def test_input_items_are_whole_and_come_in_pages(site: Site) -> None:
    given: list[Any] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "input_text", "text": "one"}]},
        {"role": "assistant", "content": "two"},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "three"},
        {"type": "message", "id": "msg_mine", "role": "user", "content": "four"},
    ]
    with site.openai() as client:
        answer = client.responses.create(model="tiny", input=given)
        newest_first = [*client.responses.input_items.list(answer.id, limit=2)]
        oldest_first = [*client.responses.input_items.list(answer.id, order="asc", limit=4)]
        assert newest_first == oldest_first[::-1]
        assert [item.type for item in oldest_first] == [
            *("message", "message", "message", "function_call", "function_call_output", "message"),
        ]
        assert len({item.id for item in oldest_first}) == 6
        assert all(getattr(item, "status", None) == "completed" for item in oldest_first)
        page = client.responses.input_items.list(answer.id, order="asc", after=oldest_first[3].id, limit=1)
        assert (page.has_more, [item.id for item in page.data]) == (True, [oldest_first[4].id])
        assert page.to_dict()["first_id"] == page.to_dict()["last_id"] == oldest_first[4].id
        text = client.responses.create(model="tiny", input="hi")
        (only,) = client.responses.input_items.list(text.id)
        assert only.model_dump()["content"][0]["text"] == "hi"
        assert only.model_dump()["id"].startswith("msg_")
    with site.client() as plain:
        for query, param in (("limit=0", "limit"), ("limit=101", "limit"), ("limit=x", "limit"), ("order=up", "order")):
            refused = plain.get(f"/responses/{answer.id}/input_items?{query}")
            assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)
        missing = plain.get(f"/responses/{answer.id}/input_items?after=msg_x")
        assert (missing.status_code, missing.json()["error"]["param"]) == (404, "after")


def test_deleting_a_key_or_a_profile_breaks_nothing(site: Site) -> None:
    with site.openai() as client:
        answer = client.responses.create(model="tiny", input="hi")
        ConfigProfile.objects.all().delete()
        assert client.responses.retrieve(answer.id).output_text == "echo: hi"
    ApiKey.objects.all().delete()
    assert StoredResponse.objects.get().caller_name == "caller"


def test_a_conversation_is_made_changed_and_deleted(site: Site) -> None:
    with site.openai() as client, stranger(site) as other:
        made = client.conversations.create(
            metadata={"topic": "weather"}, items=[{"type": "message", "role": "user", "content": "Hello!"}]
        )
        assert (made.object, made.metadata) == ("conversation", {"topic": "weather"})
        assert client.conversations.retrieve(made.id) == made
        assert client.conversations.update(made.id, metadata={"topic": "tides"}).metadata == {"topic": "tides"}
        (item,) = client.conversations.items.list(made.id)
        assert (item.type, item.model_dump()["content"][0]["text"]) == ("message", "Hello!")
        for call in (other.conversations.retrieve, other.conversations.delete, other.conversations.items.list):
            with pytest.raises(openai.NotFoundError):
                call(made.id)
        with pytest.raises(openai.NotFoundError):
            other.conversations.update(made.id, metadata={})
        deleted = client.conversations.delete(made.id)
        assert (deleted.id, deleted.deleted, deleted.object) == (made.id, True, "conversation.deleted")
        with pytest.raises(openai.NotFoundError):
            client.conversations.retrieve(made.id)
        assert client.conversations.create().metadata == {}
    assert not StoredItem.objects.exists()


def test_the_items_of_a_conversation(site: Site) -> None:
    with site.openai() as client:
        made = client.conversations.create()
        added = client.conversations.items.create(
            made.id, items=[{"role": "user", "content": str(number)} for number in range(5)]
        )
        assert (len(added.data), added.has_more, added.object) == (5, False, "list")
        ids = [str(item.id) for item in client.conversations.items.list(made.id, order="asc", limit=2)]
        assert ids == [item.id for item in added.data]
        assert [item.id for item in client.conversations.items.list(made.id)] == ids[::-1]
        page = client.conversations.items.list(made.id, after=ids[3], limit=2)
        assert ([item.id for item in page.data], page.has_more) == ([ids[2], ids[1]], True)
        assert client.conversations.items.retrieve(ids[1], conversation_id=made.id).id == ids[1]
        assert client.conversations.items.delete(ids[1], conversation_id=made.id).id == made.id
        for call in (client.conversations.items.retrieve, client.conversations.items.delete):
            with pytest.raises(openai.NotFoundError) as caught:
                call(ids[1], conversation_id=made.id)
            assert code(caught) == (404, "item_not_found")
        assert [item.id for item in client.conversations.items.list(made.id, order="asc")] == [ids[0], *ids[2:]]
        reference: ItemReference = {"type": "item_reference", "id": ids[0]}
        another = client.conversations.create(items=[reference])
        (item,) = client.conversations.items.list(another.id)
        assert item.id == ids[0]


def test_a_response_belongs_to_its_conversation(site: Site) -> None:
    with site.openai() as client:
        made = client.conversations.create(items=[{"role": "user", "content": "My name is Ada."}])
        first = client.responses.create(model="tiny", input="Who am I?", conversation=made.id)
        assert first.conversation is not None
        assert first.conversation.id == made.id
        assert heard(site) == ["My name is Ada.", "Who am I?"]
        with client.responses.stream(
            model="tiny", input=[{"role": "user", "content": "Sure?"}], conversation={"id": made.id}
        ) as stream:
            second = stream.get_final_response()
        assert heard(site) == ["My name is Ada.", "Who am I?", "echo: Who am I?", "Sure?"]
        items = [*client.conversations.items.list(made.id, order="asc")]
        assert [item.model_dump()["content"][0]["text"] for item in items] == [
            *("My name is Ada.", "Who am I?", "echo: Who am I?", "Sure?", "echo: Sure?"),
        ]
        assert items[4].id == second.output[0].to_dict()["id"]
        assert [item.id for item in client.responses.input_items.list(first.id)] == [items[1].id]
        client.responses.create(model="tiny", input="And so?", previous_response_id=first.id)
        assert heard(site) == ["My name is Ada.", "Who am I?", "echo: Who am I?", "And so?"]
        client.responses.delete(first.id)
        assert len([*client.conversations.items.list(made.id)]) == 5
        client.responses.create(model="tiny", input=[{"type": "item_reference", "id": items[2].id}])
        assert heard(site) == ["echo: Who am I?"]
    assert site.ask("x", conversation=made.id).headers["x-session-id"] == made.id


def test_a_conversation_that_is_not_there_is_not_found(site: Site) -> None:
    with site.openai() as client, stranger(site) as other:
        made = other.conversations.create()
        for conversation_id in ("conv_0", made.id):
            with pytest.raises(openai.NotFoundError) as caught:
                client.responses.create(model="tiny", input="hi", conversation=conversation_id)
            assert caught.value.param == "conversation"
    assert not site.engine.chats


def test_what_fails_adds_nothing_to_its_conversation(site: Site) -> None:
    site.engine.script.append(Step(status=400, body={"error": {"message": "no"}}))
    site.engine.script.append(Step(finish_reason="abort"))
    with site.openai() as client:
        made = client.conversations.create()
        with pytest.raises(openai.BadRequestError):
            client.responses.create(model="tiny", input="hi", conversation=made.id)
        assert client.responses.create(model="tiny", input="hi", conversation=made.id).status == "failed"
        assert not client.conversations.items.list(made.id).data


def test_a_conversation_that_is_deleted_meanwhile_costs_no_answer(site: Site) -> None:
    site.engine.script.append(Step(delay=0.5))
    with site.openai() as client, site.openai() as second:
        made = client.conversations.create()
        with client.responses.create(model="tiny", input="hi", conversation=made.id, stream=True) as stream:
            next(iter(stream))
            second.conversations.delete(made.id)
            assert [*stream][-1].type == "response.completed"
    assert not Conversation.objects.exists()


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"items": [{"type": "riddle"}]}, 400, "items[0].type"),
        ({"items": [{"type": "item_reference", "id": "msg_x"}]}, 404, "items[0].id"),
        ({"items": "hi"}, 400, "items"),
        ({"metadata": {"a": 1}}, 400, "metadata"),
        ({"name": "x"}, 400, "name"),
    ],
)
def test_a_conversation_that_cannot_be_is_refused_by_name(
    site: Site, body: dict[str, Any], status: int, param: str
) -> None:
    with site.client() as client:
        refused: httpx.Response = client.post("/conversations", json=body)
    assert refused.status_code == status
    assert refused.json()["error"]["param"].startswith(param)


STRANGE: list[tuple[str, str, dict[str, Any] | None, int, str | None]] = [
    ("GET", "/responses/%00", None, 404, None),
    ("DELETE", "/responses/%00", None, 404, None),
    ("POST", "/conversations/%00", {"metadata": {}}, 404, None),
    ("GET", "/conversations/{conversation}/items?after=%00", None, 404, "after"),
    ("GET", "/conversations/{conversation}/items/%00", None, 404, "item_id"),
    ("POST", "/conversations", {"metadata": {"a": "\x00"}}, 400, "metadata"),
    ("POST", "/conversations/{conversation}", {"metadata": {"\x00": "a"}}, 400, "metadata"),
    ("POST", "/responses", {"previous_response_id": "\x00"}, 404, "previous_response_id"),
    ("POST", "/responses", {"conversation": "\x00"}, 404, "conversation"),
    ("POST", "/responses", {"input": [{"type": "item_reference", "id": "\x00"}]}, 404, "input[0].id"),
    ("POST", "/responses", {"input": [{"role": "user", "content": "hi", "id": "\x00"}]}, 200, None),
    ("POST", "/responses", {"input": [{"role": "user", "content": "hi", "id": "i" * 999}]}, 200, None),
]


def test_no_id_is_too_strange_for_the_database(site: Site) -> None:
    with site.client() as client:
        made = client.post("/conversations", json={}).json()["id"]
        for method, path, body, status, param in STRANGE:
            full = {"model": "tiny", "input": "hi", **(body or {})} if path == "/responses" else body
            answer = client.request(method, path.format(conversation=made), json=full)
            assert answer.status_code == status, (path, body, answer.text)
            assert status == 200 or answer.json()["error"]["param"] == param


def test_an_item_is_in_a_conversation_once(site: Site) -> None:
    hello = {"role": "user", "content": "hi", "id": "msg_mine"}
    with site.client() as client:
        made = client.post("/conversations", json={"items": [hello, hello]}).json()["id"]
        client.post(f"/conversations/{made}/items", json={"items": [hello]})
        again: Any = [{"type": "item_reference", "id": "msg_mine"}]
        client.post("/responses", json={"model": "tiny", "input": again, "conversation": made})
        assert len(site.engine.chats[-1]["messages"]) == 4
        seen: list[str] = []
        while page := client.get(
            f"/conversations/{made}/items", params={"limit": 1, "order": "asc", "after": seen[-1] if seen else ""}
        ).json()["data"]:
            seen += [item["id"] for item in page]
    assert (seen.count("msg_mine"), len({*seen})) == (1, 5)
