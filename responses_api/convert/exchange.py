"""One request and its answer in the words of one API. Pure. The gateway knows only this face of the converters."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from responses_api.convert.answer import Answer, AnswerStream, Question
from responses_api.convert.framing import SSE, Framing
from responses_api.convert.generation import Generation
from responses_api.convert.items import Item
from responses_api.convert.kept import Kept, References
from responses_api.convert.profile import ProfileSettings
from responses_api.convert.resource import Stamp
from responses_api.convert.seal import Seal
from responses_api.convert.side_channel import AudioFile
from responses_api.errors import GatewayError


class SessionHints(NamedTuple):
    """What a body says of its session; empty if it says nothing."""

    prompt_cache_key: str = ""
    metadata_session_id: str = ""


class Exchange(ABC):
    """A parsed request, and how its answer is written.

    It is made from the body; `use` tells it the profile's settings, which hold from then on. Then, for each engine that
    is asked: `before`, if it returns a question, and `hear` its answer; `engine_body`; and `answer` or `stream`.

    What it refers to (`references`) is recalled before that; what is to be stored of it (`kept`) is there after it.
    """

    api: ClassVar[str]  # as the ledger calls it
    id_prefix: ClassVar[str]
    input_param: ClassVar[str]  # what is too long if the prompt does not fit
    path: str  # which of the engine's APIs is asked: below its base URL, or from its root if it begins with a slash
    framing: Framing = SSE  # of a streamed answer
    in_background: bool = False  # whether the caller will come back for the answer
    generates: bool = True  # whether a model answers; if not, no answer is empty and none needs a session
    seal: Seal | None = None  # the caller's
    settings: ProfileSettings
    sent: Mapping[str, Any] = {}  # the engine's request, before it is put into its dialect

    @abstractmethod
    def __init__(self, body: bytes) -> None:
        """Parse the request. Raises RequestError."""

    @property
    @abstractmethod
    def model(self) -> str:
        """The profile that the caller asks for."""

    @property
    @abstractmethod
    def wants_stream(self) -> bool:
        """Whether the answer is streamed."""

    def use(self, settings: ProfileSettings) -> None:
        """Let these settings hold. Raises RequestError if they cannot serve the request."""
        self.settings = settings

    def session_hints(self) -> SessionHints:
        """Return what the body says of its session."""
        return SessionHints()

    def conversation(self) -> Iterable[Any]:
        """Return what was said so far, oldest first: items or messages, as the caller sends them back every time."""
        return ()

    def reply(self, said: Generation) -> Iterable[Any]:
        """Return the answer, which is written, as the caller will send it back: items or a message."""
        calls = [{"function": {"name": call.name, "arguments": call.arguments}} for call in said.calls]
        return [{"role": "assistant", "content": said.text, "tool_calls": calls}]

    def may_store(self, *, allowed: bool) -> None:  # noqa: ARG002
        """Hear whether anything may be stored. Raises RequestError if the request needs it and may not."""
        return

    def audio_paths(self) -> Sequence[AudioFile]:
        """Return the files below the profile's `audio_root` that the request needs."""
        return ()

    def attach(self, audio: Sequence[str]) -> None:  # noqa: ARG002
        """Take those files, as data URLs."""
        return

    def references(self) -> References | None:
        """Return what of the stored the request refers to; None if nothing. Raises RequestError."""
        return None

    def recall(self, history: Sequence[Item], found: Mapping[str, Item]) -> None:  # noqa: ARG002
        """Take what was referred to: the items before the request's own input, and those named in it, by id."""
        return

    def kept(self) -> Kept | None:
        """Return what is to be stored now that the answer is written; None if nothing is."""
        return None

    def queued(self, stamp: Stamp) -> Kept:
        """Return what is stored of a request in the background before it is worked on."""
        raise NotImplementedError

    def failed(self, error: GatewayError, stamp: Stamp) -> bytes:
        """Return the answer to a request in the background that ends in an error; of a stream, all or what is left."""
        raise NotImplementedError

    def without_engine(self, stamp: Stamp) -> Answer | None:  # noqa: ARG002
        """Return the answer, if it can be given without asking an engine; streamed, it is all of the stream."""
        return None

    def before(self) -> Question | None:
        """Return what must be asked before the request itself."""
        return None

    def hear(self, raw: bytes) -> None:  # noqa: ARG002
        """Take the engine's answer to what `before` or `after` asked. Raises BadAnswerError."""
        return

    @abstractmethod
    def engine_body(self) -> bytes:
        """Return what the engine is sent. Raises RequestError."""

    def shorten(self, *, prompt: int | None, limit: int | None) -> bool:  # noqa: ARG002
        """Leave the oldest part of the conversation out, if the caller allows it and something is left to leave out:
        the engine counted `prompt` tokens and takes `limit`. Return whether it is worth asking again.
        """
        return False

    def after(self, raw: bytes) -> Question | None:  # noqa: ARG002
        """Return what must be asked once the engine's answer is there, which is `raw`. Raises BadAnswerError."""
        return None

    @abstractmethod
    def answer(self, raw: bytes, stamp: Stamp) -> Answer:
        """Return the engine's answer in this API's words. Raises BadAnswerError."""

    @abstractmethod
    def stream(self, stamp: Stamp) -> AnswerStream:
        """Return what makes this API's stream of the engine's."""

    @abstractmethod
    def empty_answer(self, stamp: Stamp) -> bytes:
        """Return the answer to a prompt that does not fit the engine; the whole stream, if that is wanted."""

    def too_long(self, message: str, *, prompt: int | None, asked: int | None, limit: int | None) -> str:  # noqa: ARG002
        """Return what to say of a prompt that does not fit, if that is an error. The engine said `message`; the numbers
        are tokens, None where it gave none.
        """
        return message

    def headers(self) -> list[tuple[str, str]]:
        """Return headers that tell the caller what was done to its request."""
        return []
