"""What a scripted engine is told to do, and what it has seen."""

from typing import Any, Literal

import msgspec


class Step(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What becomes of one request. Unset fields leave the plausible answer as it is."""

    status: int = 200
    body: Any = None  # bytes and text go out as they are, anything else as JSON; None: the plausible answer
    # Laid over the plausible answer's message. It is a chat message on every API: `content` is the text of a completion
    # too, `reasoning` and `tool_calls` become the blocks and items of the others.
    message: dict[str, Any] | None = None
    finish_reason: str | msgspec.UnsetType | None = msgspec.UNSET  # in the words of chat completions
    usage: dict[str, Any] | msgspec.UnsetType | None = msgspec.UNSET  # the same
    headers: dict[str, str] = {}
    delay: float = 0  # seconds before the answer
    hang: bool = False  # no answer until the client leaves, or the engine's `go_on`
    # The connection ends before the answer, after the headers of a stream, or inside the answer.
    break_off: Literal["", "before", "headers", "middle"] = ""
    events: list[Any] | None = None  # of a stream, in place of the plausible ones: bytes and text go out as they are
    gap: float = 0  # seconds between two events of a stream
    stall: bool = False  # a stream stops in the middle, until the same


class Agent(msgspec.Struct, forbid_unknown_fields=True):
    """A model that wants one tool.

    Where a tool of this name is offered it is called with these arguments; once the last turn holds a result, the
    answer is `done: ` and the result. Whoever asks again after that gets the next call.
    """

    name: str
    arguments: Any = {}  # text is used as it is


class Seen(msgspec.Struct):
    """One request, as it came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    at: float
    client_left: bool = False
    answered: bool = False
    sent: int = 0  # events of a stream


class Control(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /script`."""

    steps: list[Step] = []
    always: Step | None = None
    agent: Agent | msgspec.UnsetType | None = msgspec.UNSET
    healthy: bool | None = None
