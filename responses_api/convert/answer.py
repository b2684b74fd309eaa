"""What goes back to the caller, whole or as a stream, in the words of either API. Pure."""

from typing import NamedTuple, Protocol

from responses_api.convert.generation import Generation
from responses_api.convert.resource import FAILED, INCOMPLETE
from responses_api.errors import EngineError, GatewayError


class Answer(NamedTuple):
    """What goes to the caller, or the end of it if it is streamed; and what it was made of."""

    body: bytes
    status: str  # completed, incomplete or failed
    generation: Generation
    cause: str = ""  # why it is empty, if no engine was asked


class Question(NamedTuple):
    """Something that is asked of the engine beside the request itself. `path` is as in `Exchange.path`."""

    path: str
    body: bytes


class AnswerStream(Protocol):
    """An answer on its way: the engine's bytes in, however they are cut, the caller's out. What can raise says so."""

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

    def after(self) -> Question | None:
        """Return what must be asked before `finish`; the exchange that made this stream hears the answer.

        Raises:
            BadAnswerError: if the engine's answer is such that asking is in vain.
        """
        ...

    def finish(self, completed_at: int) -> Answer:
        """Return the end of an answer that the engine has ended. `completed_at`: seconds since 1970.

        Raises:
            BadAnswerError: if something is missing in it that only its end can show.
        """
        ...

    def emptied(self) -> bytes | None:
        """Return the end that makes it the empty answer to a prompt that does not fit; None if something was said."""
        ...

    def fail(self, error: GatewayError) -> bytes:
        """Return the end of an answer that failed. After `finish`: what is sent in the place of that end."""
        ...


def status_of(finish_reason: str) -> str:
    """Return how an answer ended, given why the engine stopped."""
    if finish_reason in FAILED:
        return "failed"
    return "incomplete" if finish_reason in INCOMPLETE else "completed"
