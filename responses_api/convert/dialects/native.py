"""The Responses API as engines speak it, read as a chat completion. Pure.

Each item is a message of its own, in their order. What chat completions have no place for, calls of tools that ran on
the engine's side among them, stands there whole. How the events tell an item does not matter: what they left out is
taken from the item.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from responses_api import wire
from responses_api.convert.dialects.dialect import Dialect
from responses_api.convert.generation import arguments_text
from responses_api.convert.transcript import BETWEEN_THOUGHTS
from responses_api.errors import BadAnswerError, EngineError

Delta = dict[str, Any]

FINISH_REASONS = {"max_output_tokens": "length", "content_filter": "content_filter"}
NOTHING: Delta = {}


class NativeUsage(msgspec.Struct):
    """Tokens, as the Responses API counts them."""

    input_tokens: Any = None
    output_tokens: Any = None
    input_tokens_details: Any = None
    output_tokens_details: Any = None


class NativeResource(msgspec.Struct):
    """An engine's response resource."""

    output: list[dict[str, Any]] = []
    status: str = "completed"
    incomplete_details: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    usage: NativeUsage | None = None


class NativeEvent(msgspec.Struct):
    """An event of an engine's stream: the fields of all kinds."""

    type: str = ""
    output_index: int = 0
    delta: str | None = None
    logprobs: list[Any] | None = None
    item: dict[str, Any] | None = None
    response: NativeResource | None = None
    error: Any = None
    message: str | None = None


_resource_decoder = msgspec.json.Decoder(NativeResource)
_event_decoder = msgspec.json.Decoder(NativeEvent)


class Native(Dialect):
    """The engine's own /v1/responses."""

    path = "responses"
    conversation = "input"
    cap = "max_output_tokens"

    def __init__(self) -> None:
        self._told: set[int] = set()  # the items of which something was told
        self._thoughts: dict[int, str] = {}  # which of the kinds of event tells an item's thoughts

    def body(self, chat: dict[str, Any]) -> bytes:
        """Return the request, which is one for a response already. The usage comes without being asked for."""
        return wire.encode({name: value for name, value in chat.items() if name != "stream_options"})

    def answer(self, raw: bytes) -> bytes:
        """Return the resource as a chat completion."""
        try:
            resource = _resource_decoder.decode(raw)
        except (ValueError, RecursionError) as error:
            raise BadAnswerError(f"The engine's answer is not a response: {error}") from None
        message = _in_order([_item_delta(item, index) for index, item in enumerate(resource.output)])
        logprobs = message.pop("logprobs", None)
        choice = {"index": 0, "message": {"role": "assistant", **message}, "logprobs": logprobs, **_ended(resource)}
        return wire.encode({"choices": [choice], "usage": _usage(resource.usage)})

    def chunk(self, data: bytes) -> bytes:
        """Return what an event adds to a chat completion; most add nothing."""
        try:
            event = _event_decoder.decode(data)
        except (ValueError, RecursionError) as error:
            raise BadAnswerError(f"The engine's answer is not an event of a response: {error}") from None
        if event.type == "error" or (event.error is not None and not event.type):
            return _error(event.error if event.error is not None else {"message": event.message})
        name = event.type.removeprefix("response.")
        if name == "failed":
            return _error(event.response and event.response.error)
        if name in ("completed", "incomplete"):
            return self._end(event.response or NativeResource(status=name))
        read = EVENTS.get(name)
        delta = NOTHING if read is None else read(self, event)
        return wire.encode({"choices": [_choice(delta)] if delta else []})

    def _end(self, resource: NativeResource) -> bytes:
        """Return the last chunk, with the items that no event has told."""
        self.ended = True
        untold = [_item_delta(item, index) for index, item in enumerate(resource.output) if index not in self._told]
        choice = {**_choice(_in_order(untold)), **_ended(resource)}
        return wire.encode({"choices": [choice], "usage": _usage(resource.usage)})

    def said(self, event: NativeEvent) -> Delta:
        """Return a piece of text."""
        self._told.add(event.output_index)
        return {"content": event.delta or "", **_logprobs(event.logprobs)}

    def refused(self, event: NativeEvent) -> Delta:
        """Return a piece of a refusal."""
        self._told.add(event.output_index)
        return {"refusal": event.delta or ""}

    def thought(self, event: NativeEvent) -> Delta:
        """Return a piece of a thought. If it is told as text and as a summary, the first kind counts."""
        self._told.add(event.output_index)
        is_new = event.output_index not in self._thoughts
        if self._thoughts.setdefault(event.output_index, event.type) != event.type:
            return NOTHING
        return {"reasoning": event.delta or "", "is_new_thought": is_new}

    def added(self, event: NativeEvent) -> Delta:
        """Return the beginning of a function call."""
        item = event.item or {}
        return _call(item, event.output_index, None) if item.get("type") == "function_call" else NOTHING

    def argued(self, event: NativeEvent) -> Delta:
        """Return a piece of a call's arguments."""
        self._told.add(event.output_index)
        return {"tool_calls": [{"index": event.output_index, "function": {"arguments": event.delta or ""}}]}

    def done(self, event: NativeEvent) -> Delta:
        """Return the item, if no event has told it piece by piece."""
        if event.item is None or event.output_index in self._told:
            return NOTHING
        self._told.add(event.output_index)
        return _item_delta(event.item, event.output_index)


EVENTS: Mapping[str, Callable[[Native, NativeEvent], Delta]] = {
    "output_item.added": Native.added,
    "output_item.done": Native.done,
    "output_text.delta": Native.said,
    "refusal.delta": Native.refused,
    "reasoning_text.delta": Native.thought,
    "reasoning.delta": Native.thought,
    "reasoning_summary_text.delta": Native.thought,
    "function_call_arguments.delta": Native.argued,
}


def _choice(delta: Delta) -> dict[str, Any]:
    logprobs = delta.get("logprobs")
    rest = {name: value for name, value in delta.items() if name != "logprobs"}
    return {"index": 0, "delta": rest, "logprobs": logprobs, "finish_reason": None}


def _in_order(items: list[Delta]) -> Delta:
    """Return the message that holds these, one an item."""
    scores = [entry for item in items for entry in item.pop("logprobs", {}).get("content", ())]
    return {"in_order": items, **_logprobs(scores)}


def _item_delta(item: dict[str, Any], index: int) -> Delta:
    """Return a whole output item. `index` is its place."""
    read = ITEMS.get(str(item.get("type")))
    return {"output_item": item} if read is None else read(item, index)


def _message(item: dict[str, Any], _index: int) -> Delta:
    parts = _parts(item.get("content"))
    delta: Delta = {}
    if texts := [part["text"] for part in parts if isinstance(part.get("text"), str)]:
        delta["content"] = "".join(texts)
    if refusals := [part["refusal"] for part in parts if isinstance(part.get("refusal"), str)]:
        delta["refusal"] = "".join(refusals)
    return {**delta, **_logprobs([entry for part in parts for entry in _parts(part.get("logprobs"))])}


def _reasoning(item: dict[str, Any], _index: int) -> Delta:
    parts = _parts(item.get("content")) or _parts(item.get("summary"))
    texts = [part["text"] for part in parts if isinstance(part.get("text"), str)]
    return {"reasoning": BETWEEN_THOUGHTS.join(texts), "is_new_thought": True} if texts else NOTHING


def _function_call(item: dict[str, Any], index: int) -> Delta:
    return _call(item, index, arguments_text(item.get("arguments")))


def _call(item: dict[str, Any], index: int, arguments: str | None) -> Delta:
    """Return a call, or its beginning. `index` tells the calls of an answer apart."""
    call_id = item.get("call_id") or item.get("id")
    function = {"name": _text(item.get("name")), "arguments": arguments}
    return {"tool_calls": [{"index": index, "id": _text(call_id), "type": "function", "function": function}]}


ITEMS: Mapping[str, Callable[[dict[str, Any], int], Delta]] = {
    "message": _message,
    "reasoning": _reasoning,
    "function_call": _function_call,
}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _parts(given: Any) -> list[dict[str, Any]]:
    return [part for part in given if isinstance(part, dict)] if isinstance(given, list) else []


def _logprobs(given: list[Any] | None) -> dict[str, Any]:
    return {"logprobs": {"content": given}} if given else {}


def _ended(resource: NativeResource) -> dict[str, Any]:
    """Return why the engine stopped. Raises EngineError if it did not end its answer."""
    if resource.status == "failed":
        said = (resource.error or {}).get("message")
        raise EngineError(said if isinstance(said, str) and said else "The engine failed, and does not say why.")
    if resource.status == "incomplete":
        reason = (resource.incomplete_details or {}).get("reason")
        return {"finish_reason": FINISH_REASONS.get(str(reason), "length")}
    if resource.status != "completed":
        raise BadAnswerError(f"The engine's response is {resource.status}.")
    called = any(item.get("type") == "function_call" for item in resource.output)
    return {"finish_reason": "tool_calls" if called else "stop"}


def _usage(given: NativeUsage | None) -> dict[str, Any] | None:
    if given is None:
        return None
    return {
        "prompt_tokens": given.input_tokens,
        "completion_tokens": given.output_tokens,
        "prompt_tokens_details": given.input_tokens_details,
        "completion_tokens_details": given.output_tokens_details,
    }


def _error(error: Any) -> bytes:
    """Return an error as chat completions stream it."""
    return wire.encode({"error": error or {"message": "The engine broke its answer off, and does not say why."}})
