"""What is kept of a response, and how it is shown again. Pure.

An item's id names the response that it belongs to, so that nothing more has to be written for it to be found again:
`msg_<hex of the response><number>` is one of its output, `msg_<hex of the response>i<number>` one of its input.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, NamedTuple

from responses_api.convert import parts
from responses_api.convert.items import ITEMS, UNREADABLE, Item, as_items
from responses_api.convert.profile import ProfileSettings
from responses_api.convert.transcript import Transcript
from responses_api.errors import RequestError

RESPONSE_PREFIX = "resp"
_ITEM_ID = re.compile(r"[a-z]+_([0-9a-f]{32})(?:i?[0-9a-f]+)")

# What a database takes as the id of an item: PostgreSQL no NUL.
MAX_ID = 200
NUL = "\x00"

# How ids of the kinds that inputs hold begin.
PREFIXES = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "compaction": "cmp",
}
# Kinds that have a status; what a caller gave is finished.
WITH_STATUS = frozenset({"message", "function_call", "function_call_output"})

# Where items name a call.
CALL_IDS = ("call_id", "tool_call_id")
_ANY_PROFILE = ProfileSettings(name="", engine_model="")

TERMINAL = frozenset({"completed", "incomplete", "failed", "cancelled"})
# What may be continued: the others have no end that anything could follow.
CONTINUABLE = frozenset({"completed", "incomplete"})
LOST = "The Roundhouse process that worked on this response ended before it was done."


class References(NamedTuple):
    """What a request refers to: items by their places in the input, which stands `at` there."""

    previous_response_id: str | None = None
    conversation_id: str | None = None
    items: tuple[tuple[int, str], ...] = ()
    at: str = "input"


@dataclass(frozen=True, slots=True)
class Kept:
    """What is stored of a response: its resource and the request's own input."""

    resource: dict[str, Any]
    input: str | list[Item]
    conversation_items: Sequence[Item]  # input and output, as they are appended to the conversation
    named_items: Sequence[Item]  # of the input, those whose id the caller made


def keep(resource: dict[str, Any], given: str | list[Item], history: Sequence[Item] = ()) -> Kept:
    """Return what is stored of a response that has ended. Only what can be continued goes on in its conversation, of
    which `history` is what was there before.
    """
    appended: list[Item] = []
    if resource.get("conversation") and resource["status"] in CONTINUABLE:
        taken = {item_id for item in history if (item_id := own_id(item))}
        appended = [*shown(given, resource["id"], taken), *resource["output"]]
    return Kept(resource, given, appended, named(given))


class ItemIds:
    """Makes the ids of a response's output items, one after another."""

    __slots__ = ("_hex", "_next")

    def __init__(self, response_id: str) -> None:
        self._hex = response_id.rpartition("_")[2]
        self._next = 0

    def __call__(self, prefix: str) -> str:
        """Return the next id."""
        self._next += 1
        return f"{prefix}_{self._hex}{self._next:04x}"


def origin(item_id: str) -> str | None:
    """Return the id of the response that an item's id names; None if the id was made by somebody else."""
    found = _ITEM_ID.fullmatch(item_id)
    return f"{RESPONSE_PREFIX}_{found[1]}" if found else None


def is_reference(item: Item) -> bool:
    """Whether an input item only names another. OpenAI lets its type be left out."""
    kind = item.get("type")
    return kind == "item_reference" or (kind is None and "id" in item and item.keys() <= {"id", "type"})


def references_in(given: str | Sequence[Item], *, at: str = "input") -> tuple[tuple[int, str], ...]:
    """Return the ids that an input refers to. `at` is where it stands in the request.

    Raises:
        RequestError: naming a reference without an id, or an id that is none.
    """
    if isinstance(given, str):
        return ()
    found: list[tuple[int, str]] = []
    for index, item in enumerate(given):
        item_id, refers = item.get("id"), is_reference(item)
        if not isinstance(item_id, str) and (refers or item_id is not None):
            raise RequestError(f"'{at}[{index}].id' is the id of an item.", param=f"{at}[{index}].id")
        if refers:
            found.append((index, str(item_id)))
    return tuple(found)


def conversation_id(given: str | dict[str, Any] | None) -> str | None:
    """Return the id of the conversation that a request belongs to: OpenAI takes it plain or in an object.

    Raises:
        RequestError: if it is neither.
    """
    found = given.get("id") if isinstance(given, dict) else given
    if given is not None and not isinstance(found, str):
        raise RequestError("'conversation' is an id or an object with an id.", param="conversation")
    return found


def resolved(given: Sequence[Item], found: Mapping[str, Item]) -> list[Item]:
    """Return the items with those that were found in the place of the references to them."""
    return [found[item["id"]] if is_reference(item) else item for item in given]


def check_items(given: Sequence[Item], *, at: str) -> None:
    """Return if every item is of a kind that the gateway knows, and well-formed: one that is not would spoil every
    request that its conversation is told in.

    Raises:
        RequestError: naming the first that is not.
    """
    for index, item in enumerate(given):
        place = f"{at}[{index}]"
        kind = item.get("type") or ("message" if "role" in item else None)
        reader = ITEMS.get(kind) if isinstance(kind, str) else None
        if reader is None:
            raise parts.unknown_kind(kind, ITEMS, f"{place}.type")
        if kind == "compaction" or kind in UNREADABLE:
            continue  # whether it can be told depends on who asks, and which engine
        alone = Transcript(_ANY_PROFILE)
        # The call that an output answers may stand anywhere before it.
        alone.call_ids.update(call_id for name in CALL_IDS if isinstance(call_id := item.get(name), str))
        reader(item, place, alone)


def own_id(item: Item) -> str | None:
    """Return the id that the caller gave an item, if it can be kept as one; else the item gets one of ours."""
    found = item.get("id")
    return found if isinstance(found, str) and 0 < len(found) <= MAX_ID and NUL not in found else None


def shown(given: str | list[Item], response_id: str, taken: AbstractSet[str] = frozenset()) -> list[Item]:
    """Return a response's own input as the API shows it: every item typed, and with an id that no other has."""
    suffix = response_id.rpartition("_")[2]
    return _identified(as_items(given), lambda index, item: f"{_prefix(item)}_{suffix}i{index:x}", taken)


def _identified(items: Iterable[Item], make: Callable[[int, Item], str], taken: AbstractSet[str]) -> list[Item]:
    """Return items in their full form. `make` gives ids to those that have none, or another's."""
    found: list[Item] = []
    seen = {*taken}
    for index, item in enumerate(items):
        item_id = own_id(item)
        if item_id is None or item_id in seen:
            item_id = make(index, item)
        seen.add(item_id)
        found.append(typed(item, item_id))
    return found


def named(given: str | list[Item]) -> list[Item]:
    """Return the items of an input whose ids the caller made, which therefore name no response."""
    if isinstance(given, str):
        return []
    return [item for item in given if (item_id := own_id(item)) is not None and origin(item_id) is None]


def typed(item: Item, item_id: str) -> Item:
    """Return an item in its full form, which the short forms of inputs stand for."""
    kind = _kind(item)
    full: Item = {**item, "type": kind, "id": item_id}
    if kind in WITH_STATUS:
        full["status"] = item.get("status") or "completed"
    if kind == "message":
        full["content"] = _content(item)
    if kind == "reasoning":
        full.setdefault("summary", [])
    return full


def _kind(item: Item) -> str:
    return str(item.get("type") or "message")


def _prefix(item: Item) -> str:
    return PREFIXES.get(_kind(item), "item")


def _content(item: Item) -> Any:
    content = item.get("content")
    if content is None:
        return []
    if not isinstance(content, str):
        return content
    if item.get("role") == "assistant":
        return [{"type": "output_text", "text": content, "annotations": []}]
    return [{"type": "input_text", "text": content}]


def with_ids(items: Iterable[Item], ids: ItemIds, taken: AbstractSet[str] = frozenset()) -> list[Item]:
    """Return items in their full form; those without an id of their own, or with one of `taken`, are given one."""
    return _identified(items, lambda _, item: ids(_prefix(item)), taken)


def standing(resource: dict[str, Any], status: str) -> dict[str, Any]:
    """Return a resource that was written before its end, as it stands with this status."""
    if resource["status"] == status or resource["status"] in TERMINAL:
        return resource
    error = {"code": "server_error", "message": LOST} if status == "failed" else None
    return {**resource, "status": status, "error": error}
