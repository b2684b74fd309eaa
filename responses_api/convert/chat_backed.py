"""What the APIs share whose answers are chat completions to the gateway, whatever their engines speak. Pure."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from responses_api.convert import chat, dialects, gathering, generation, shortening
from responses_api.convert.answer import Answer, Question
from responses_api.convert.dialects import Dialect
from responses_api.convert.exchange import Exchange
from responses_api.convert.generation import Generation
from responses_api.convert.manner import Manner
from responses_api.convert.profile import ProfileSettings
from responses_api.convert.resource import Stamp
from responses_api.convert.side_channel import NOTHING, AudioFile, SideChannel, with_audio
from responses_api.convert.streams import ChunkReader
from responses_api.convert.token_ids import TokenIds

# Why an answer ends that no engine was asked for.
STOPPED = "content_filter"


class ChatBacked(Exchange):
    """An exchange over the engine's chat completions: asks for them, reads them, and asks for what they do not tell."""

    speaks_responses: ClassVar[bool] = False  # and may ask an engine that does so too
    dialect: Dialect = dialects.CHAT
    sent: dict[str, Any]
    manner: Manner  # known once the settings are
    asked: SideChannel = NOTHING  # by the request's metadata
    _audio: Sequence[str] = ()  # of files, as data URLs
    may_shorten: bool = False  # the conversation, if it does not fit
    _left_out: int = 0  # units of it
    _token_ids: TokenIds | ChunkReader | None = None  # what waits for the prompt's

    def use(self, settings: ProfileSettings) -> None:
        """Let these settings hold. Raises RequestError if they cannot serve the request."""
        super().use(settings)
        self.dialect = dialects.of(settings, input_param=self.input_param, native=self.speaks_responses)
        self.path = self.dialect.path

    def audio_paths(self) -> Sequence[AudioFile]:
        """Return the files below the profile's `audio_root` that the request needs."""
        return self.asked.audio_paths

    def attach(self, audio: Sequence[str]) -> None:
        """Take those files, as data URLs."""
        self._audio = audio

    def with_audio(self, messages: list[Any]) -> list[Any]:
        """Return the messages with the audio that the request's metadata holds, or names."""
        return with_audio(messages, [*self.asked.audio_data, *self._audio])

    @abstractmethod
    def to_engine(self) -> dict[str, Any]:
        """Return the engine's request. Raises RequestError."""

    def _shortened(self) -> dict[str, Any]:
        body = self.to_engine()
        if self._left_out:
            name = self.dialect.conversation
            body[name] = shortening.without(body[name], self._left_out)
        return body

    def shorten(self, *, prompt: int | None, limit: int | None) -> bool:
        """Leave the oldest part of the conversation out, if the caller allows it and something is left to leave out:
        the engine counted `prompt` tokens and takes `limit`. Return whether it is worth asking again.
        """
        messages = self.sent.get(self.dialect.conversation)
        if not self.may_shorten or not messages or isinstance(messages, str):
            return False
        reserved = self.sent.get(self.dialect.cap)
        share = shortening.share_to_leave_out(prompt, limit, reserved if isinstance(reserved, int) else 0)
        count = shortening.count_to_leave_out(messages, share) if share < 1 else 0
        self._left_out += count
        return count > 0

    def without_engine(self, stamp: Stamp) -> Answer | None:
        """Return the empty answer to a conversation that ends in a thought, if the profile wants such loops ended."""
        if self.settings.sequential_reasoning_allowed:
            return None
        self.sent = self.to_engine()
        messages = self.sent.get("messages")
        if not messages or not _ends_in_thought(messages[-1]):
            return None
        said = Generation(finish_reason=STOPPED)
        return Answer(self.empty_answer(stamp, STOPPED), "incomplete", said, cause="sequential_stop")

    @abstractmethod
    def empty_answer(self, stamp: Stamp, reason: str = "length") -> bytes:
        """Return the answer to a prompt that does not fit the engine; the whole stream, if that is wanted. `reason` is
        why it ends, as chat completions say it.
        """

    @property
    def streamed(self) -> dict[str, Any]:
        """What is asked for when the answer is streamed."""
        return chat.STREAMED

    def before(self) -> Question | None:
        """Return what must be asked before the request itself. Raises RequestError."""
        if not self.dialect.asks_before:
            return None
        self.sent = self._shortened()
        return self.dialect.before(self.sent)

    def engine_body(self) -> bytes:
        """Return what the engine is sent. Raises RequestError."""
        self.sent = self._shortened()
        return self.dialect.body({**self.sent, **self.streamed} if self.wants_stream else self.sent)

    def after(self, raw: bytes) -> Question | None:
        """Return what must be asked for the numbers of the prompt's tokens. Raises BadAnswerError."""
        if not self.settings.return_token_id_information:
            return None
        self._token_ids = ids = TokenIds.of(generation.decode(self.dialect.answer(raw)))
        return ids.question(self.dialect.of_prompt(self.sent))

    def hear(self, raw: bytes) -> None:
        """Take the prompt's tokens, which may be asked for before and after. Raises BadAnswerError."""
        (self.dialect if self._token_ids is None else self._token_ids).hear(raw)

    def read(self, raw: bytes, stamp: Stamp) -> Generation:
        """Return what the engine generated. Raises EngineError."""
        completion = generation.decode(self.dialect.answer(raw))
        said = gathering.read(completion, self.manner, stamp.new_id)
        if self.settings.return_token_id_information:
            ids = self._token_ids if isinstance(self._token_ids, TokenIds) else TokenIds.of(completion)
            said.tokens = ids.fields(is_silent=said.is_silent)
        return said


def _ends_in_thought(message: Any) -> bool:
    """Whether a message is the assistant's, and neither says nor calls anything."""
    return (
        isinstance(message, dict)
        and message.get("role") == "assistant"
        and not message.get("content")
        and not message.get("tool_calls")
    )
