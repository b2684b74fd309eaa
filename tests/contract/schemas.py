"""What the gateway says, held against the Open Responses contract and against the models of the `openai` package.

Each check returns if the body is good under both, and raises `ContractError` if not.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pydantic
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend
from openai.types.responses import CompactedResponse, Response, ResponseStreamEvent
from openai.types.shared import ErrorObject

PUBLISHED = Path(__file__).with_name("open-responses-2026-04-24.json")
SCHEMAS = "#/components/schemas/"

# Events of the contract that the openai package does not know, or knows in another shape: the reasoning's own text
# (`response.reasoning_text.*` there), and the error, which is flat there and nested here.
ONLY_IN_THE_CONTRACT = frozenset({"response.reasoning.delta", "response.reasoning.done", "error"})
# The reverse: a profile may ask for the reasoning's own text, a caller for custom tools.
ONLY_IN_THE_PACKAGE = frozenset(
    {
        "response.reasoning_text.delta",
        "response.reasoning_text.done",
        "response.custom_tool_call_input.delta",
        "response.custom_tool_call_input.done",
    }
)
ITEMS_OF_THE_PACKAGE = frozenset({"custom_tool_call"})
# Codes of failed responses that agents know and the package does not list.
MORE_CODES = frozenset({"context_length_exceeded"})


class ContractError(AssertionError):
    """A body breaks the contract; the message says where and how."""


def _is_integer(_checker: Any, value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


# JSON Schema takes 1.0 for an integer; clients with typed integers do not.
_STRICT = extend(Draft202012Validator, type_checker=Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_integer))


@cache
def _contract() -> dict[str, Any]:
    """Return the published document, with two places corrected in which it contradicts itself."""
    contract: dict[str, Any] = json.loads(PUBLISHED.read_bytes())
    schemas = contract["components"]["schemas"]
    # An answer echoes the format that was asked for. The schema of requests has an object here, that of answers null.
    given = schemas["JsonSchemaResponseFormatParam"]["properties"]["schema"]
    schemas["JsonSchemaResponseFormat"]["properties"]["schema"] = {"anyOf": [given, {"type": "null"}]}
    # `minimal` is described and not listed; `max` came later, and engines have it.
    schemas["ReasoningEffortEnum"]["enum"] += ["minimal", "max"]
    return contract


@cache
def _validator(ref: str) -> Any:
    return _STRICT({"$ref": ref, "components": _contract()["components"]})


@cache
def _event_schemas() -> dict[str, str]:
    """Return where the schema of each type of event is."""
    content = _contract()["paths"]["/responses"]["post"]["responses"]["200"]["content"]
    refs = [one["$ref"] for one in content["text/event-stream"]["schema"]["oneOf"]]
    schemas = _contract()["components"]["schemas"]
    return {schemas[ref.removeprefix(SCHEMAS)]["properties"]["type"]["enum"][0]: ref for ref in refs}


@cache
def _event_models() -> dict[str, type[pydantic.BaseModel]]:
    """Return the openai package's model of each type of event."""
    union, *_ = get_args(ResponseStreamEvent)
    return {get_args(model.model_fields["type"].annotation)[0]: model for model in get_args(union)}


def _hold(ref: str, body: object) -> None:
    problem: ValidationError | None = next(_validator(ref).iter_errors(body), None)
    if problem is not None:
        deepest = problem
        while deepest.context:
            deepest = max(deepest.context, key=lambda one: len(one.absolute_path))
        raise ContractError(f"{ref.removeprefix(SCHEMAS)}, {deepest.json_path}: {deepest.message}\n{body}")


def _parse(model: type[pydantic.BaseModel], body: object) -> None:
    try:
        model.model_validate(body)
    except pydantic.ValidationError as error:
        raise ContractError(f"The openai package cannot read it: {error}\n{body}") from None


def check_response(body: object) -> None:
    """Check a response resource."""
    _hold(SCHEMAS + "ResponseResource", _in_the_contract(body))
    _parse(Response, _with_listed_code(body))


def _in_the_contract(body: Any) -> Any:
    """Return a resource without the tools and the items that the contract does not have, and the package does."""
    if (
        not isinstance(body, dict)
        or not isinstance(body.get("tools"), list)
        or not isinstance(body.get("output"), list)
    ):
        return body
    return {
        **body,
        "tools": [tool for tool in body["tools"] if tool.get("type") == "function"],
        "output": [item for item in body["output"] if item.get("type") not in ITEMS_OF_THE_PACKAGE],
    }


def _with_listed_code(body: Any) -> Any:
    error = body.get("error")
    if isinstance(error, dict) and error.get("code") in MORE_CODES:
        return {**body, "error": {**error, "code": "server_error"}}
    return body


def check_event(event: dict[str, Any]) -> None:
    """Check one event of a stream."""
    kind = event.get("type")
    if kind in ONLY_IN_THE_PACKAGE:
        _parse(_event_models()[kind], event)
        return
    if not isinstance(kind, str) or kind not in _event_schemas():
        raise ContractError(f"There is no event {kind!r}.")
    if event.get("item", {}).get("type") not in ITEMS_OF_THE_PACKAGE:
        held = {**event, "response": _in_the_contract(event["response"])} if "response" in event else event
        _hold(_event_schemas()[kind], held)
    if kind not in ONLY_IN_THE_CONTRACT:
        response = event.get("response")
        told = event if response is None else {**event, "response": _with_listed_code(response)}
        _parse(_event_models()[kind], told)


def check_envelope(body: object) -> None:
    """Check an error as WebSockets carry it."""
    _hold(SCHEMAS + "WebSocketErrorEvent", body)


def check_compaction(body: object) -> None:
    """Check a compacted conversation."""
    _hold(SCHEMAS + "CompactResource", body)
    _parse(CompactedResponse, body)


def check_error(body: object) -> None:
    """Check the body of an error that has an HTTP status of its own: nothing but `error`, which has four fields."""
    if not isinstance(body, dict) or body.keys() != {"error"}:
        raise ContractError(f"It is not an error: {body}")
    _hold(SCHEMAS + "ErrorPayload", body["error"])
    _parse(ErrorObject, body["error"])
    if not body["error"]["message"]:
        raise ContractError(f"The error says nothing: {body}")
