"""docs/converters.md and the converters' tables say the same, both ways."""

from collections.abc import Collection

import msgspec
import pytest

from endpoints.profile_rules import GATEWAY_OWNED
from responses_api.convert import formats, items, parts, request, side_channel, tools
from responses_api.wire import ReasoningConfig, ResponsesRequest, TextConfig
from tests.house.test_docs import ROOT, table_rows

DOCUMENT = (ROOT / "docs/converters.md").read_text()

NESTED: dict[str, type[msgspec.Struct]] = {"text": TextConfig, "reasoning": ReasoningConfig}


def fields(struct: type[msgspec.Struct]) -> list[str]:
    return [field.name for field in msgspec.structs.fields(struct)]


ENGINES = {*request.SAME_NAME, "chat_template_kwargs"}
FIELDS = {
    told
    for name in fields(ResponsesRequest)
    for told in ([f"{name}.{inner}" for inner in fields(NESTED[name])] if name in NESTED else [name])
    if name not in ENGINES
}


@pytest.mark.parametrize(
    ("heading", "coded"),
    [
        ("Request fields", FIELDS),
        ("Engine parameters", ENGINES),
        ("Metadata", side_channel.KEYS),
        ("Input items", items.ITEMS.keys()),
        ("Content parts", parts.INPUT.keys() | parts.OUTPUT.keys() | parts.TOOL_OUTPUT.keys()),
        ("Tools", tools.TOOLS.keys()),
        ("Tool choice", [*tools.WORDS, *tools.CHOICES]),
        ("Text formats", formats.FORMATS.keys()),
        ("Include", request.INCLUDES),
    ],
)
def test_the_document_lists_what_the_code_knows(heading: str, coded: Collection[str]) -> None:
    documented = [row[0] for row in table_rows(DOCUMENT, heading)]
    assert sorted(documented) == sorted(coded)


def test_the_document_says_where_a_part_may_stand() -> None:
    places = [parts.INPUT, parts.OUTPUT, parts.TOOL_OUTPUT]
    for kind, *cells in table_rows(DOCUMENT, "Content parts"):
        assert [cell != "—" for cell in cells] == [kind in place for place in places], kind


def test_the_document_names_what_the_gateway_owns() -> None:
    section = DOCUMENT.split("## Precedence\n", 1)[1].split("\n## ", 1)[0]
    for name in GATEWAY_OWNED | side_channel.FOR_OPERATORS:
        assert f"`{name}`" in section, name


def test_the_document_says_what_is_refused_as_a_whole() -> None:
    rows = {row[0]: row[1] for row in table_rows(DOCUMENT, "Request fields")}
    always = [name for name, harmless in request.REFUSED_UNLESS.items() if harmless == (None,)]
    assert {name for name, text in rows.items() if text.startswith("Refused") and "unless" not in text} == {*always}
    kinds = {row[0] for row in table_rows(DOCUMENT, "Input items") if row[1].startswith("Refused")}
    assert kinds == {*items.UNREADABLE}
