"""POST /v1/responses. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from responses_api import wire
from responses_api.convert import items, kept, manner, native, request, resource, side_channel, tools
from responses_api.convert.answer import Answer
from responses_api.convert.chat_backed import ChatBacked
from responses_api.convert.exchange import SessionHints
from responses_api.convert.generation import Generation
from responses_api.convert.items import Item
from responses_api.convert.kept import Kept, References
from responses_api.convert.profile import ProfileSettings
from responses_api.convert.resource import Stamp
from responses_api.convert.streams import ResponsesStream
from responses_api.errors import GatewayError, RequestError

# The answer's header that names the tools that no engine was told of.
DROPPED = "X-Roundhouse-Dropped-Tools"


class ResponsesExchange(ChatBacked):
    """POST /v1/responses over the engine's chat completions."""

    api: ClassVar[str] = "responses"
    id_prefix: ClassVar[str] = "resp"
    input_param: ClassVar[str] = "input"
    speaks_responses: ClassVar[bool] = True

    def __init__(self, body: bytes) -> None:
        """Parse the request. Raises RequestError."""
        self._body = body
        self.request = wire.responses_request(body)
        request.refuse_unserved(self.request)
        self.input = self.request.input if self.request.input is not None else []
        self.asked = side_channel.read(self.request.metadata)
        self.may_shorten = self.request.truncation == "auto"
        self.sent: dict[str, Any] = {}
        self.history: Sequence[Item] = ()
        self.in_background = bool(self.request.background)
        self.conversation_id = kept.conversation_id(self.request.conversation)
        self.toolbox = tools.EMPTY
        self._more_tools: Sequence[tuple[str, dict[str, Any]]] = ()
        self._is_recalled = False
        self._written: dict[str, Any] | None = None  # the resource at its end
        self._stream: ResponsesStream | None = None

    @property
    def model(self) -> str:
        """The profile that the caller asks for."""
        return self.request.model

    @property
    def wants_stream(self) -> bool:
        """Whether the answer is streamed."""
        return bool(self.request.stream)

    def use(self, settings: ProfileSettings) -> None:
        """Let these settings hold. Raises RequestError if they cannot serve the request."""
        super().use(settings)
        self._take_tools()

    @property
    def _history_at(self) -> str:
        """Which parameter names what stands before the input."""
        return "conversation" if self.conversation_id is not None else "previous_response_id"

    def _take_tools(self) -> None:
        settings, given = self.settings, self.input
        self._more_tools = [
            *items.additional_tools(self.history, self._history_at, -len(self.history)),
            *(items.additional_tools(given, "input") if not isinstance(given, str) else ()),
        ]
        self.toolbox = tools.pack(
            self.request.tools,
            self.request.tool_choice,
            rule="adapt" if settings.is_responses_native else settings.unrunnable_tools,
            at_most=request.most_calls(self.request),
            more=self._more_tools,
        )
        if settings.is_responses_native:
            self.toolbox.dropped.clear()  # such an engine may run them itself
        self.manner = manner.of(
            settings,
            self.toolbox,
            wants_logprobs=request.wants_logprobs(self.request),
            seal=self.seal if request.wants_sealed_thoughts(self.request) else None,
        )

    def headers(self) -> list[tuple[str, str]]:
        """Return which tools were left out, if any were."""
        names = self.toolbox.dropped_names()
        return [(DROPPED, names)] if names else []

    def head(self, stamp: Stamp) -> dict[str, Any]:
        """Return the resource without what depends on the generation."""
        sent = native.shown(self.sent) if self.settings.is_responses_native else self.sent
        return resource.head(self.request, sent, self.toolbox, self.settings.name, stamp)

    def session_hints(self) -> SessionHints:
        """Return what the body says of its session."""
        return SessionHints(self.request.prompt_cache_key or "", (self.request.metadata or {}).get("session_id", ""))

    def conversation(self) -> list[Item]:
        """Return the items, those of earlier turns included, behind the instructions."""
        instructions = [{"role": "system", "content": self.request.instructions}] if self.request.instructions else []
        return [*instructions, *self.history, *items.as_items(self.input)]

    def reply(self, said: Generation) -> list[Item]:  # noqa: ARG002  (its items have other names for some calls)
        """Return the output items."""
        output: list[Item] = (self._ended or {}).get("output", [])
        return output

    @property
    def _ended(self) -> dict[str, Any] | None:
        return self._stream.written if self._stream is not None else self._written

    def may_store(self, *, allowed: bool) -> None:
        """Hear whether anything may be stored. Raises RequestError if the request needs it and may not."""
        self.request.store = allowed and self.request.store is not False
        for name, asked in (("background", self.in_background), ("conversation", self.conversation_id)):
            if asked and not self.request.store:
                reason = "'store' is false" if allowed else "this server stores nothing"
                raise RequestError(f"'{name}' needs its responses stored, and {reason}.", param=name)

    def references(self) -> References | None:
        """Return what of the stored the request refers to; None if nothing. Raises RequestError."""
        previous = self.request.previous_response_id
        if previous is not None and self.conversation_id is not None:
            raise RequestError(
                "'previous_response_id' and 'conversation' cannot be used together.", param="previous_response_id"
            )
        items = kept.references_in(self.input)
        if self._is_recalled:
            previous = None
        if previous is None and self.conversation_id is None and not items:
            return None
        return References(previous, self.conversation_id, items)

    def recall(self, history: Sequence[Item], found: Mapping[str, Item]) -> None:
        """Let these items stand before the request's own input, and those that it names in it."""
        self._is_recalled = True
        self.history = history or self.history
        if found and not isinstance(self.input, str):
            self.input = kept.resolved(self.input, found)
        if items.additional_tools([*self.history, *found.values()], self._history_at):
            self._take_tools()

    def kept(self) -> Kept | None:
        """Return the response and its input, if it ended as one."""
        ended = self._ended
        if ended is None or not self.request.store:
            return None
        return kept.keep(ended, self.input, self.history)

    def queued(self, stamp: Stamp) -> Kept:
        """Return the resource of a request that nobody works on yet, and its input."""
        head = self.head(stamp)
        return kept.keep({**head, **resource.begun(), "status": "queued"}, self.input)

    def failed(self, error: GatewayError, stamp: Stamp) -> bytes:
        """Return the resource of a failed response, or its events."""
        if self.wants_stream:
            return (self._stream or self.stream(stamp)).fail(error)
        head = self.head(stamp)
        self._written = {**head, **resource.broken(error, [], None)}
        return wire.encode(self._written)

    def to_engine(self) -> dict[str, Any]:
        """Return the chat completion request, or the caller's own to an engine that speaks Responses."""
        given, settings, forgets = self.input, self.settings, request.forgets_thoughts(self.request)
        if settings.is_responses_native:
            raw = wire.json_object(self._body)
            if self._more_tools:
                raw["tools"] = [*(raw.get("tools") or ()), *(tool for _, tool in self._more_tools)]
            return native.to_engine(
                raw,
                given,
                settings,
                self.toolbox,
                self.history,
                self.seal,
                self.asked,
                history_at=self._history_at,
                forgets_thoughts=forgets,
            )
        messages = items.messages(
            given,
            self.request.instructions,
            settings,
            self.history,
            self.seal,
            history_at=self._history_at,
            forgets_thoughts=forgets,
        )
        return request.to_chat(self.request, settings, self.toolbox, self.with_audio(messages), self.asked)

    def answer(self, raw: bytes, stamp: Stamp) -> Answer:
        """Return the response resource."""
        said = self.read(raw, stamp)
        body = resource.answered(self.head(stamp), self.manner, said, stamp)
        self._written = body
        return Answer(wire.encode(body), body["status"], said)

    def stream(self, stamp: Stamp) -> ResponsesStream:
        """Return what makes events of the engine's chunks."""
        head = self.head(stamp)
        self._token_ids = self._stream = ResponsesStream(
            head, stamp, self.manner, self.sent, framing=self.framing, dialect=self.dialect
        )
        return self._stream

    def empty_answer(self, stamp: Stamp, reason: str = "length") -> bytes:
        """Return the response resource of an empty answer, or its events."""
        if self.wants_stream:
            return self.stream(stamp).empty(reason)
        self._written = resource.emptied(self.head(stamp), stamp, reason)
        return wire.encode(self._written)
