"""What the engine is told to do in an exchange with a tool."""

from typing import Any

import msgspec
from pydantic import BaseModel

from responses_api.models import ResponseRecord
from tests.fakes.scripted_vllm import Step


class City(BaseModel):
    """What a structured answer holds."""

    name: str
    inhabitants: int


OSLO = City(name="Oslo", inhabitants=720_000)


def calling(name: str, /, **arguments: Any) -> Step:
    """The model thinks, then calls a function."""
    written = msgspec.json.encode(arguments).decode()
    call = {"id": f"call_{name}", "type": "function", "function": {"name": name, "arguments": written}}
    thought = f"I need {name}."
    return Step(message={"content": None, "reasoning": thought, "tool_calls": [call]}, finish_reason="tool_calls")


def saying(text: str) -> Step:
    """The model says this."""
    return Step(message={"content": text})


def roles(chat: dict[str, Any]) -> list[str]:
    """Return who speaks, message by message, in what an engine was asked."""
    return [message["role"] for message in chat["messages"]]


def ledger() -> list[tuple[str, str]]:
    """Return the API and the status of every answer, oldest first."""
    return [*ResponseRecord.objects.order_by("pk").values_list("api", "status")]
