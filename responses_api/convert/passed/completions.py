"""POST /v1/completions, passed through. Pure."""

from typing import Any, ClassVar

from responses_api import sse, wire
from responses_api.convert import chat
from responses_api.convert.answer import Answer, status_of
from responses_api.convert.generation import Generation, Usage, usage
from responses_api.convert.passed.exchange import PassedExchange, PassedStream, fields_of
from responses_api.convert.resource import Stamp
from responses_api.errors import BadAnswerError, EngineError, GatewayError


class CompletionsExchange(PassedExchange):
    """POST /v1/completions, passed through. Thoughts stay in the text: it is the model's own."""

    api: ClassVar[str] = "completions"
    id_prefix: ClassVar[str] = "cmpl"
    input_param: ClassVar[str] = "prompt"
    path = "completions"
    optional: ClassVar = {"stream": bool, "stream_options": dict}

    def engine_body(self) -> bytes:
        """Return the request with the profile's settings laid over it. The usage is asked for, for the ledger."""
        body = self.settings.laid_over(self.request)
        if self.wants_stream:
            options = {**(self.request.get("stream_options") or {}), **chat.STREAMED["stream_options"]}
            body |= {**chat.STREAMED, "stream_options": options}
        self.sent = body
        return wire.encode(body)

    def conversation(self) -> list[Any]:
        """Return the prompt, which holds no turns."""
        return [{"role": "user", "content": str(self.request.get("prompt"))}]

    def reply(self, said: Generation) -> tuple[()]:  # noqa: ARG002
        """Return nothing by which the next prompt could be known."""
        return ()

    def said(self, raw: bytes) -> tuple[Generation, str]:
        """Return what the first choice holds."""
        completion = wire.text_completion(raw)
        if not completion.choices:
            raise BadAnswerError("The engine's answer has no choices.")
        first = completion.choices[0]
        reason = first.finish_reason or ""
        said = Generation(text=first.text or "", finish_reason=reason)
        if completion.usage is not None:
            said.usage = usage(completion.usage)
        return said, status_of(reason)

    def stream(self, stamp: Stamp) -> "CompletionsStream":
        """Return what passes the engine's chunks on."""
        wants_usage = bool((self.request.get("stream_options") or {}).get("include_usage"))
        return CompletionsStream(self.settings.name, stamp, wants_usage=wants_usage)

    def empty_answer(self, stamp: Stamp) -> bytes:
        """Return an empty completion, or its chunk."""
        choice = {"index": 0, "text": "", "logprobs": None, "finish_reason": "length"}
        body = {
            "id": stamp.response_id,
            "object": "text_completion",
            "created": stamp.created_at,
            "model": self.settings.name,
            "choices": [choice],
        }
        if self.wants_stream:
            return sse.nameless(wire.encode(body)) + sse.DONE_FRAME
        return wire.encode({**body, "usage": None})


class CompletionsStream(PassedStream):
    """The chunks of a completion, or of several side by side: the first one counts."""

    def __init__(self, model: str, stamp: Stamp, *, wants_usage: bool) -> None:
        super().__init__()
        self._model = model
        self._id = stamp.response_id
        self._wants_usage = wants_usage
        self._begun: set[int] = set()
        self._ended: dict[int, str] = {}
        self._texts: list[str] = []
        self._usage: Usage | None = None

    @property
    def said_all(self) -> bool:
        """Whether the engine ended every completion that it began."""
        return self.is_done or bool(self._begun and self._begun == self._ended.keys())

    def take(self, event: sse.Event) -> tuple[bytes, bool]:
        """Return the chunk under the gateway's id and the profile's name."""
        if event.is_done:
            if not self._begun:
                raise BadAnswerError("The engine's answer has no choices.")
            self.is_done = True
            return b"", True
        chunk = wire.text_completion(event.data)
        if chunk.is_error:
            said = wire.engine_error(event.data).message
            raise EngineError(said or "The engine broke its answer off, and does not say why.")
        for choice in chunk.choices:
            self._hear(choice)
        if chunk.usage is not None:
            self._usage = usage(chunk.usage)
        fields = {**fields_of(event.data), "id": self._id, "model": self._model}
        if not self._wants_usage:
            fields.pop("usage", None)
            if not chunk.choices:
                return b"", True
        ends = not chunk.choices or any(choice.finish_reason for choice in chunk.choices)
        return sse.nameless(wire.encode(fields)), ends

    def _hear(self, choice: wire.TextChoice) -> None:
        self._begun.add(choice.index)
        if choice.finish_reason:
            self._ended[choice.index] = choice.finish_reason
        if choice.index == 0 and choice.text:
            self._texts.append(choice.text)

    def still_going(self) -> bytes:
        """Return a comment: completions have no event that says nothing."""
        return b": still going\n\n"

    def finish(self, completed_at: int) -> Answer:  # noqa: ARG002  (the engine's chunks carry their time)
        """Return the chunks that end the answer."""
        reason = self._ended.get(0, "")
        said = Generation(text="".join(self._texts), finish_reason=reason, usage=self._usage)
        return Answer(self._held + sse.DONE_FRAME, status_of(reason), said)

    def fail(self, error: GatewayError) -> bytes:
        """Return the error as vLLM streams it."""
        return sse.nameless(wire.encode(error.body())) + sse.DONE_FRAME
