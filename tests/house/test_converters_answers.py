"""What docs/converters.md says of answers is what the code does, both ways."""

from collections.abc import Collection

import msgspec
import pytest

from responses_api import wire
from responses_api.convert import resource
from responses_api.convert.profile import ProfileSettings
from responses_api.errors import BadAnswerError
from responses_api.verdict import Cause
from tests.contract.life import Event, read_events
from tests.house.test_compatibility import response_fields
from tests.house.test_converters import DOCUMENT
from tests.house.test_docs import table_rows
from tests.pure.streams import call, exchange, said, stamp

STRUCTS = (wire.ChatCompletion, wire.Choice, wire.ChatMessage, wire.ChatChunk, wire.ChunkChoice)
WHERE = {"choices", "message", "delta", "index"}  # they say where something stands, not what
READ = {field.name for struct in STRUCTS for field in msgspec.structs.fields(struct)} - WHERE

TOOLS = [{"type": "custom", "name": "c"}, {"type": "function", "name": "f", "parameters": {}}]
SAYING = (
    {"reasoning": "hm"},
    {"content": "hi", "refusal": "no"},
    call(0, id="c1", name="c", arguments='{"input": "x"}'),
    call(1, id="c2", name="f", arguments="{}"),
)


def everything() -> list[Event]:
    """Events of streams that hold all that can be said, and end in every way."""
    settings = ProfileSettings(name="p", engine_model="m", reasoning_shown_as="both")
    found: list[Event] = []
    for finish in ("stop", "length", "abort"):
        stream = exchange(settings=settings, tools=TOOLS).stream(stamp())
        found += read_events(stream.feed(said(*SAYING, finish=finish)) + stream.finish(1001).body)
    stream = exchange().stream(stamp())
    return found + read_events(stream.feed(said()) + stream.fail(BadAnswerError("x")))


@pytest.mark.parametrize(
    ("heading", "coded"),
    [
        ("Engine answers", READ),
        ("Answer fields", response_fields()),
        ("Output items", {event["item"]["type"] for event in everything() if "item" in event}),
        ("Finish reasons", [*resource.INCOMPLETE, *resource.FAILED]),
        ("Failed responses", resource.CODES.keys()),
        ("Empty answers", [cause.value for cause in Cause]),
        ("Events", {event["type"] for event in everything()}),
    ],
)
def test_the_document_lists_what_the_code_knows(heading: str, coded: Collection[str]) -> None:
    documented = [row[0] for row in table_rows(DOCUMENT, heading)]
    assert sorted(documented) == sorted(coded)


def test_the_document_says_what_the_codes_become() -> None:
    assert [tuple(row) for row in table_rows(DOCUMENT, "Failed responses")] == [*resource.CODES.items()]


def test_the_document_says_how_answers_end() -> None:
    told = {reason: status for reason, status, _ in table_rows(DOCUMENT, "Finish reasons")}
    assert told == dict.fromkeys(resource.INCOMPLETE, "incomplete") | dict.fromkeys(resource.FAILED, "failed")
