"""What is kept of a response, and how it is shown again."""

from typing import Any

import pytest

from responses_api.convert import kept, paging
from responses_api.convert.kept import ItemIds
from responses_api.convert.paging import Paging
from responses_api.errors import ItemNotFoundError, RequestError

RESPONSE = "resp_" + "0123456789abcdef" * 2
ITEMS: list[dict[str, Any]] = [{"id": f"msg_{number}"} for number in range(5)]


def test_an_id_of_an_item_names_its_response() -> None:
    ids = ItemIds(RESPONSE)
    made = [ids("msg"), ids("fc"), ids("msg"), *(item["id"] for item in kept.shown("hi", RESPONSE))]
    assert len({*made}) == 4
    assert {kept.origin(item_id) for item_id in made} == {RESPONSE}
    assert max(map(len, made)) <= 64


@pytest.mark.parametrize("item_id", ["", "msg_1", "msg_mine", f"msg_{'0' * 32}", "resp", f"{'m' * 90}"])
def test_an_id_that_somebody_else_made_names_none(item_id: str) -> None:
    assert kept.origin(item_id) is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"role": "user", "content": "hi"},
            {"type": "message", "status": "completed", "content": [{"type": "input_text", "text": "hi"}]},
        ),
        (
            {"role": "assistant", "content": "hi"},
            {"status": "completed", "content": [{"type": "output_text", "text": "hi", "annotations": []}]},
        ),
        ({"role": "assistant", "content": None}, {"type": "message", "status": "completed", "content": []}),
        (
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}], "status": None},
            {"status": "completed", "content": [{"type": "input_text", "text": "hi"}]},
        ),
        ({"type": "function_call", "name": "f", "status": "incomplete"}, {"status": "incomplete", "name": "f"}),
        ({"type": "function_call_output", "call_id": "c"}, {"status": "completed"}),
        ({"type": "reasoning"}, {"summary": []}),
        ({"type": "reasoning", "summary": [1]}, {"summary": [1]}),
    ],
)
def test_items_are_shown_in_their_full_form(given: dict[str, Any], expected: dict[str, Any]) -> None:
    (full,) = kept.shown([given], RESPONSE)
    assert full == {**given, **expected, "id": full["id"], "type": full["type"]}
    assert full["type"] == given.get("type", "message")


@pytest.mark.parametrize(
    ("asked", "ids", "has_more"),
    [
        (Paging(), "43210", False),
        (Paging(ascending=True), "01234", False),
        (Paging(limit=2), "43", True),
        (Paging(limit=5), "43210", False),
        (Paging("msg_3", 2), "21", True),
        (Paging("msg_1", 2, ascending=True), "23", True),
        (Paging("msg_0"), "", False),
    ],
)
def test_lists_come_in_pages(asked: Paging, ids: str, has_more: bool) -> None:
    found = paging.page(ITEMS, asked)
    assert [item["id"] for item in found["data"]] == [f"msg_{number}" for number in ids]
    assert (found["has_more"], found["object"]) == (has_more, "list")
    assert (found["first_id"], found["last_id"]) == ((f"msg_{ids[0]}", f"msg_{ids[-1]}") if ids else (None, None))


def test_a_page_cannot_begin_behind_what_is_not_there() -> None:
    with pytest.raises(ItemNotFoundError):
        paging.page(ITEMS, Paging("msg_9"))


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "101"},
        {"limit": "-1"},
        {"limit": "1.5"},
        {"limit": "²"},
        {"limit": "0" * 9 + "1"},
        {"order": "ASC"},
    ],
)
def test_a_page_that_makes_no_sense_is_refused_by_name(query: dict[str, str]) -> None:
    with pytest.raises(RequestError) as caught:
        paging.paging(query)
    assert caught.value.param == next(iter(query))


def test_a_reference_is_an_item_with_nothing_but_an_id() -> None:
    given: list[dict[str, Any]] = [
        {"type": "item_reference", "id": "a"},
        {"id": "b"},
        {"id": "c", "role": "user", "content": "hi"},
        {"id": "d", "type": None},
    ]
    assert kept.references_in(given) == ((0, "a"), (1, "b"), (3, "d"))
    with pytest.raises(RequestError) as caught:
        kept.references_in([{"type": "item_reference"}])
    assert caught.value.param == "input[0].id"

    with pytest.raises(RequestError) as caught:
        kept.references_in([{"id": 5, "role": "user", "content": "hi"}])
    assert caught.value.param == "input[0].id"


LONG = "i" * (kept.MAX_ID + 1)


def test_an_id_that_cannot_be_kept_or_is_anothers_gives_way_to_one_of_ours() -> None:
    given: list[dict[str, Any]] = [
        {"role": "user", "content": "hi", "id": item_id} for item_id in ("a", "a", "", None, LONG, "b\x00", "c")
    ]
    ids = [item["id"] for item in kept.shown(given, RESPONSE, {"c"})]
    assert ids[0] == "a"
    assert len({*ids}) == len(ids)
    assert {kept.origin(item_id) for item_id in ids[1:]} == {RESPONSE}
    assert [item["id"] for item in kept.named(given)] == ["a", "a", "c"]
    made = [item["id"] for item in kept.with_ids(given, ItemIds(RESPONSE), {"c"})]
    assert made[0] == "a"
    assert {kept.origin(item_id) for item_id in made[1:]} == {RESPONSE}


@pytest.mark.parametrize(
    ("item", "param"),
    [
        ({"role": "user", "content": 5}, "items[0].content"),
        ({"role": "king", "content": "hi"}, "items[0].role"),
        ({"role": "user", "content": [{"type": "riddle"}]}, "items[0].content[0].type"),
        ({"type": "function_call"}, "items[0].call_id"),
        ({"type": "riddle"}, "items[0].type"),
        ({"type": "function_call_output", "call_id": "said before", "output": "hi"}, None),
        ({"role": "tool", "tool_call_id": "said before", "content": "hi"}, None),
        ({"type": "compaction", "encrypted_content": "for another"}, None),
    ],
)
def test_an_item_that_would_spoil_its_conversation_is_refused_by_name(item: dict[str, Any], param: str | None) -> None:
    if param is None:
        kept.check_items([item], at="items")
        return
    with pytest.raises(RequestError) as caught:
        kept.check_items([item], at="items")
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("status", "expected", "message"),
    [("in_progress", "in_progress", None), ("cancelled", "cancelled", None), ("failed", "failed", kept.LOST)],
)
def test_a_resource_stands_as_its_row_says(status: str, expected: str, message: str | None) -> None:
    shown = kept.standing({"status": "queued", "error": None}, status)
    assert shown["status"] == expected
    assert (shown["error"] or {}).get("message") == message
    ended = {"status": "failed", "error": {"message": "its own"}}
    assert kept.standing(ended, "failed") is ended
