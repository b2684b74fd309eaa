"""Conversations that do not fit, and what of them is left out."""

from typing import Any

import msgspec
import pytest

from responses_api.convert import shortening
from responses_api.convert.profile import ProfileSettings
from responses_api.convert.responses_exchange import ResponsesExchange
from tests.pure.conversations import HI, PLAIN, call, output, rs, said

ROLES = {"s": "system", "d": "developer", "u": "user", "a": "assistant", "t": "tool"}


def talk(roles: str) -> list[dict[str, Any]]:
    return [{"role": ROLES[role], "content": f"{place}"} for place, role in enumerate(roles)]


@pytest.mark.parametrize(
    ("roles", "units"),
    [
        ("", []),
        ("s", []),
        ("u", []),
        ("su", []),
        ("suau", [(1, 3)]),
        ("sduauatatu", [(2, 4), (4, 9)]),
        ("uauatat", [(0, 2), (3, 5)]),
        ("uatatat", [(1, 3), (3, 5)]),
        ("auau", [(0, 1), (1, 3)]),
        ("atat", [(0, 2)]),
        ("suasu", [(1, 4)]),
    ],
)
def test_whole_turns_go_and_then_whole_steps(roles: str, units: list[tuple[int, int]]) -> None:
    assert [(unit.start, unit.stop) for unit in shortening.units(talk(roles))] == units


def test_the_oldest_units_are_left_out() -> None:
    messages = talk("suauatatu")
    assert [message["content"] for message in shortening.without(messages, 1)] == ["0", "3", "4", "5", "6", "7", "8"]
    assert [message["content"] for message in shortening.without(messages, 2)] == ["0", "8"]
    assert shortening.without(messages, 0) == messages


@pytest.mark.parametrize(
    ("prompt", "limit", "reserved", "share"),
    [
        (None, None, 0, 0.25),
        (None, 1000, 0, 0.25),
        (1001, 1000, 0, 0.25),
        (2000, 1000, 0, 0.55),
        (2000, 1000, 500, 0.8),
        (None, 1000, 1000, 1),
    ],
)
def test_as_much_is_left_out_as_is_too_much(prompt: Any, limit: Any, reserved: int, share: float) -> None:
    assert shortening.share_to_leave_out(prompt, limit, reserved) == pytest.approx(share)


def exchange(truncation: str, **more: Any) -> ResponsesExchange:
    given = [{"role": "system", "content": "S"}, HI, call("c1"), output("c1", "x" * 1000), HI, said("A"), HI]
    body = {"model": "p", "input": given, "truncation": truncation, **more}
    made = ResponsesExchange(msgspec.json.encode(body))
    made.use(PLAIN)
    return made


def roles(made: ResponsesExchange) -> str:
    messages = msgspec.json.decode(made.engine_body())["messages"]
    return "".join(message["role"][0] for message in messages)


def test_a_conversation_is_shortened_again_and_again() -> None:
    made = exchange("auto")
    assert roles(made) == "suatuau"
    assert made.shorten(prompt=2000, limit=1900)
    assert roles(made) == "suau"
    assert made.shorten(prompt=1950, limit=1900)
    assert roles(made) == "su"
    assert not made.shorten(prompt=1920, limit=1900)
    assert roles(made) == "su"


def test_a_prompt_that_the_engine_renders_is_shortened_too() -> None:
    made = exchange("auto")
    made.use(ProfileSettings(name="p", engine_model="e", use_completions_api=True, render_chat_template=True))
    assert made.before()
    assert made.shorten(prompt=2000, limit=1900)
    question = made.before()
    assert question
    assert [message["role"][0] for message in msgspec.json.decode(question.body)["messages"]] == ["s", "u", "a", "u"]


def test_items_for_an_engine_that_speaks_responses_are_shortened_too() -> None:
    made = exchange("auto")
    made.use(ProfileSettings(name="p", engine_model="e", is_responses_native=True))

    def kinds() -> list[str]:
        body = msgspec.json.decode(made.engine_body())
        assert "truncation" not in body
        return [item.get("role") or item["type"] for item in body["input"]]

    assert kinds() == ["system", "user", "function_call", "function_call_output", "user", "assistant", "user"]
    assert made.shorten(prompt=2000, limit=1900)
    assert kinds() == ["system", "user", "assistant", "user"]
    assert made.shorten(prompt=1950, limit=1900)
    assert kinds() == ["system", "user"]
    assert not made.shorten(prompt=1920, limit=1900)


def test_steps_of_items_go_with_all_that_they_are_made_of() -> None:
    items = [
        HI,
        rs("a"),
        call("c1"),
        call("c2"),
        output("c1"),
        output("c2"),
        rs("b"),
        said("x"),
        call("c3"),
        output("c3"),
    ]
    assert shortening.units(items) == [range(1, 6)]


def test_nobody_is_shortened_unasked_or_in_vain() -> None:
    made = exchange("disabled")
    made.engine_body()
    assert not made.shorten(prompt=2000, limit=1900)
    made = exchange("auto", max_output_tokens=5000)
    made.engine_body()
    assert not made.shorten(prompt=None, limit=1900)
