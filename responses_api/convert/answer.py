"""What goes back to the caller, whole or as a stream, in the words of either API. Pure."""

from dataclasses import dataclass
from typing import Protocol

from responses_api.convert.generation import Generation
from responses_api.convert.resource import FAILED, INCOMPLETE
from responses_api.errors import EngineError, GatewayError


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes to the caller, or the end of it if it is streamed; and what it was made of."""

    body: bytes
    status: str  # completed, incomplete or failed
    generation: Generation


class AnswerStream(Protocol):
    """An answer on its way: the engine's bytes in, however they are cut, the caller's out. No method raises."""

    @property
    def error(self) -> EngineError | None:
        """What is wrong with what the engine sent. What was right before it has been returned."""
        ...

    @property
    def said_all(self) -> bool:
        """Whether the engine ended its answer, so that nothing is missing if the connection breaks off now."""
        ...

    @property
    def is_done(self) -> bool:
        """Whether nothing follows, so that there is nothing to wait for."""
        ...

    def feed(self, data: bytes) -> bytes:
        """Return what can be sent now."""
        ...

    def still_going(self) -> bytes:
        """Return something to send in a long silence."""
        ...

    def finish(self, completed_at: int) -> Answer:
        """Return the end of an answer that the engine has ended. `completed_at`: seconds since 1970."""
        ...

    def fail(self, error: GatewayError) -> bytes:
        """Return the end of an answer that failed. After `finish`: what is sent in the place of that end."""
        ...


def status_of(finish_reason: str) -> str:
    """Return how an answer ended, given why the engine stopped."""
    if finish_reason in FAILED:
        return "failed"
    return "incomplete" if finish_reason in INCOMPLETE else "completed"
