"""The tables that compare the APIs name every field, and say rightly who knows it."""

import json
from typing import Any

import msgspec
import pytest
from openai.types.responses import Response, response_create_params

from responses_api import wire
from responses_api.convert import resource, tools
from responses_api.convert.resource import Stamp
from tests.contract.schemas import PUBLISHED
from tests.house.test_docs import ROOT, table_rows

DOCUMENT = (ROOT / "docs/reference/compatibility.md").read_text()
SCHEMAS: dict[str, Any] = json.loads(PUBLISHED.read_bytes())["components"]["schemas"]

REQUEST_FIELDS = [field.name for field in msgspec.structs.fields(wire.ResponsesRequest)]
OPENAIS = (
    response_create_params.ResponseCreateParamsBase,
    response_create_params.ResponseCreateParamsNonStreaming,
)


def response_fields() -> set[str]:
    request = wire.responses_request(b'{"model": "p", "input": "hi", "user": "u", "conversation": "conv_1"}')
    stamp = Stamp("resp_1", 1, 1, lambda prefix: prefix)
    return resource.head(request, {}, tools.EMPTY, "p", stamp).keys() | resource.begun().keys()


@pytest.mark.parametrize(
    ("heading", "fields", "openai", "contract"),
    [
        (
            "Request fields",
            {*REQUEST_FIELDS},
            {name for params in OPENAIS for name in params.__annotations__},
            SCHEMAS["CreateResponseBody"]["properties"].keys(),
        ),
        ("Response fields", response_fields(), Response.model_fields, SCHEMAS["ResponseResource"]["properties"].keys()),
    ],
)
def test_every_field_has_its_row(heading: str, fields: set[str], openai: Any, contract: Any) -> None:
    rows = {row[0]: row[1:] for row in table_rows(DOCUMENT, heading)}
    assert rows.keys() == fields
    assert {name for name, row in rows.items() if row[0] != "—"} == fields & {*openai}
    assert {name for name, row in rows.items() if row[1] != "—"} == fields & {*contract}


def test_no_cell_is_left_out() -> None:
    for heading in ("Request fields", "Response fields", "Features"):
        assert all(len(row) == 5 and all(row) for row in table_rows(DOCUMENT, heading))
