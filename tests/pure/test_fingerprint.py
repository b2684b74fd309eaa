"""By what a conversation is known again."""

from typing import Any

import pytest

from responses_api.fingerprint import LOOK_BACK, Trail

SYSTEM = {"role": "system", "content": "Be brief."}
QUESTION = {"role": "user", "content": "Weather in Oslo?"}
CALL = {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": '{"city": "Oslo"}'}
RESULT = {"type": "function_call_output", "call_id": "call_1", "output": "rain"}
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]}
MORE = {"role": "user", "content": "And in Bergen?"}


def said(text: str, **more: Any) -> dict[str, Any]:
    """An output message as the gateway writes it."""
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part], **more}


ANSWER = said("It rains.")


def end(conversation: list[Any], reply: list[Any], scope: str = "1:1") -> int | None:
    """What is remembered when the answer leaves."""
    return Trail(scope, conversation).after(reply)


def knows(conversation: list[Any], remembered: int | None) -> bool:
    """Whether a later turn finds it."""
    return remembered in Trail("1:1", conversation).answers


@pytest.mark.parametrize(
    ("before", "reply", "replayed"),
    [
        ([QUESTION], [ANSWER], [QUESTION, ANSWER]),
        ([QUESTION], [ANSWER], [QUESTION, {"role": "assistant", "content": "It rains."}]),
        ([QUESTION], [ANSWER], [QUESTION, {"type": "message", "role": "assistant", "content": " It rains.\n"}]),
        ([QUESTION], [THOUGHT, ANSWER], [QUESTION, ANSWER]),
        ([QUESTION], [ANSWER], [QUESTION, THOUGHT, ANSWER]),
        ([QUESTION], [said("It "), said("rains.")], [QUESTION, ANSWER]),
        (
            [{"role": "user", "content": [{"type": "input_text", "text": "Weather in Oslo?"}]}],
            [ANSWER],
            [{"type": "message", "id": "msg_x", "status": "completed", **QUESTION}, ANSWER],
        ),
        ([{**SYSTEM, "role": "developer"}, QUESTION], [ANSWER], [SYSTEM, QUESTION, ANSWER]),
        ([QUESTION], [{**CALL, "id": "fc_1", "status": "completed"}], [QUESTION, CALL, RESULT]),
        ([QUESTION], [CALL], [QUESTION, {**CALL, "arguments": '{"city":"Oslo"}'}, RESULT]),
        ([QUESTION], [{**CALL, "arguments": '{"a": "\\u00e9"}'}], [QUESTION, {**CALL, "arguments": '{"a":"é"}'}]),
        ([QUESTION], [{**CALL, "arguments": ""}], [QUESTION, {**CALL, "arguments": "{}"}]),
        ([QUESTION], [said("Wait."), CALL], [QUESTION, CALL, said("Wait."), RESULT]),
        ([QUESTION, CALL, RESULT], [ANSWER], [QUESTION, CALL, {**RESULT, "id": "fco_1"}, ANSWER]),
        (
            [QUESTION],
            [{"role": "assistant", "content": "<think>Hm.</think>It rains."}],
            [QUESTION, {"role": "assistant", "content": "It rains."}],
        ),
        (
            [QUESTION],
            [{"role": "assistant", "content": "", "tool_calls": [{"function": CALL}]}],
            [
                QUESTION,
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{"id": "x", "type": "function", "function": CALL}],
                },
                {"role": "tool", "tool_call_id": "x", "content": "rain"},
            ],
        ),
        (
            [QUESTION],
            [{"role": "assistant", "tool_calls": [{"function": CALL}]}],
            [
                QUESTION,
                {"role": "assistant", "content": None, "function_call": CALL},
                {"role": "function", "content": ""},
            ],
        ),
        ([QUESTION, said("It")], [said(" rains.")], [QUESTION, said("It"), said(" rains.")]),
        (
            [QUESTION],
            [{"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "weather"}]}],
            [
                QUESTION,
                {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "weather", "input": {}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "rain"}]},
            ],
        ),
    ],
)
def test_the_next_turn_is_known_however_the_client_writes_it(
    before: list[Any], reply: list[Any], replayed: list[Any]
) -> None:
    remembered = end(before, reply)
    assert remembered is not None
    for following in ([], [MORE], [MORE, said("It snows."), MORE]):
        assert knows([*replayed, *following], remembered)


@pytest.mark.parametrize(
    "other",
    [
        [QUESTION],
        [SYSTEM, QUESTION],
        [SYSTEM, QUESTION, said("It snows."), MORE],
        [{**SYSTEM, "content": "Be long."}, QUESTION, ANSWER, MORE],
        [SYSTEM, {**QUESTION, "content": "Weather?"}, ANSWER, MORE],
        [SYSTEM, ANSWER, MORE],
        [],
    ],
)
def test_another_conversation_is_another(other: list[Any]) -> None:
    assert not knows(other, end([SYSTEM, QUESTION], [ANSWER]))


def test_pictures_tell_conversations_apart() -> None:
    def about(picture: str) -> list[Any]:
        return [{"role": "user", "content": [{"type": "input_image", "image_url": f"data:{picture * 1000}"}]}]

    assert knows([*about("x"), ANSWER], end(about("x"), [ANSWER]))
    assert not knows([*about("y"), ANSWER], end(about("x"), [ANSWER]))


def test_callers_and_profiles_are_never_joined() -> None:
    assert end([QUESTION], [ANSWER], "1:1") != end([QUESTION], [ANSWER], "1:2")


@pytest.mark.parametrize("reply", [[], [said("")], [said(" \n")], [THOUGHT], [{"type": "web_search_call"}]])
def test_an_answer_that_says_nothing_is_not_remembered(reply: list[Any]) -> None:
    assert end([QUESTION], reply) is None
    assert end([QUESTION, ANSWER], reply) is None


def test_the_newest_answers_come_first_and_are_bounded() -> None:
    conversation: list[Any] = [SYSTEM]
    ends: list[int | None] = []
    for number in range(12):
        conversation.append({"role": "user", "content": f"Question {number}"})
        ends.append(end(conversation, [said(f"Answer {number}")]))
        conversation.append(said(f"Answer {number}"))
    assert [*Trail("1:1", [*conversation, MORE]).answers] == ends[::-1][:LOOK_BACK]
    assert [*Trail("1:1", conversation[:-4]).answers] == ends[-3::-1][:LOOK_BACK]


def test_a_summary_of_ours_goes_on_for_what_it_replaces() -> None:
    summary = {"type": "compaction", "id": "cmp_1", "encrypted_content": "sealed"}
    remembered = end([SYSTEM, QUESTION, ANSWER, MORE], [summary])
    assert knows([summary, MORE], remembered)
    assert knows([QUESTION, summary, MORE, ANSWER, MORE], remembered)
    assert not knows([{**summary, "encrypted_content": "another"}, MORE], remembered)


def test_the_opening_is_the_first_item_that_is_not_of_the_system() -> None:
    openings = {
        Trail("1:1", conversation).opening
        for conversation in (
            [QUESTION],
            [SYSTEM, QUESTION],
            [SYSTEM, {**SYSTEM, "role": "developer"}, QUESTION, ANSWER],
        )
    }
    assert len(openings) == 1
    assert Trail("1:1", [SYSTEM, MORE]).opening not in openings


@pytest.mark.parametrize(
    "item",
    [
        None,
        "text",
        [],
        {},
        {"role": 1},
        {"type": []},
        {"role": "user"},
        {"role": "user", "content": 5},
        {"role": "user", "content": [None, {"type": "text", "text": 5}, {"type": "tool_result", "content": {}}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": None, "detail": []}}]},
        {"role": "assistant", "content": [1], "tool_calls": [1, {"function": 1}, {"function": {"arguments": 1.5}}]},
        {"role": "assistant", "tool_calls": [{"function": {"name": [], "arguments": "\\"}}]},
        {"role": "assistant", "tool_calls": 5},
        {"role": "user", "content": "\ud800"},
        {"type": "function_call", "arguments": '"\\ud800'},
        {"type": "function_call_output"},
        {"type": "compaction"},
    ],
)
def test_nothing_that_a_client_sends_is_an_error(item: Any) -> None:
    trail = Trail("1:1", [item, QUESTION, item])
    assert len(trail.opening) == 16
    trail.after([ANSWER, item])
