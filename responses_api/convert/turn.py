"""One turn of a conversation over a WebSocket, and what a connection remembers of it. Pure."""

from dataclasses import replace
from typing import Any, NamedTuple

from responses_api import wire
from responses_api.convert import life, resource
from responses_api.convert.answer import Answer
from responses_api.convert.framing import LINES
from responses_api.convert.generation import Generation, Usage
from responses_api.convert.items import Item, as_items
from responses_api.convert.kept import Kept
from responses_api.convert.resource import Stamp
from responses_api.convert.responses_exchange import ResponsesExchange
from responses_api.errors import RequestError

MESSAGE_TYPE = "response.create"
# They are for HTTP: a turn always streams, and always in the foreground.
ONLY_OVER_HTTP = ("stream", "stream_options", "background")


class Past(NamedTuple):
    """A conversation up to the end of a response, and whether that is stored."""

    response_id: str
    items: list[Item]
    is_stored: bool


class Memory:
    """What a connection remembers: its latest response, also of a turn that asked not to store it."""

    def __init__(self) -> None:
        self._latest: Past | None = None

    def take(self, response_id: Any) -> Past | None:
        """Return the conversation up to a response and forget it; None if it is not remembered.

        A turn that succeeds is remembered in its place. After one that fails the id is gone, as the contract asks.
        """
        found, self._latest = self._latest, None
        if found is not None and found.response_id != response_id:
            self._latest, found = found, None
        return found

    def keep(self, past: Past) -> None:
        """Remember a conversation, and no other."""
        self._latest = past


class TurnExchange(ResponsesExchange):
    """A `response.create` message over the engine's chat completions."""

    framing = LINES

    def __init__(self, body: bytes, memory: Memory, *, may_say_stream: bool = False) -> None:
        """Parse the message. `may_say_stream` lets it hold `"stream": true`, which says nothing new.

        Raises:
            RequestError: if it is no request for a response.
        """
        message = wire.json_object(body)
        kind, generate = message.pop("type", None), message.pop("generate", None)
        past = memory.take(message.get("previous_response_id"))
        if kind != MESSAGE_TYPE:
            raise RequestError(f"The type of a message is '{MESSAGE_TYPE}'.", param="type")
        if not isinstance(generate, bool | None):
            raise RequestError("Invalid type for 'generate'.", param="generate", code="invalid_type")
        if may_say_stream and message.get("stream") is True:
            del message["stream"]
        for name in ONLY_OVER_HTTP:
            if message.get(name) is not None:
                raise RequestError(f"'{name}' has no place in a WebSocket's message.", param=name)
        super().__init__(wire.encode({**message, "stream": True}))
        self._generates = generate is not False
        self._past = past
        if past is not None:  # any other is looked up among the stored ones
            self.recall(past.items, {})

    def ended(self, response: dict[str, Any]) -> Past:
        """Return what is to be remembered of this turn, which ended as this response."""
        items = [*self.history, *as_items(self.input), *response["output"]]
        return Past(response["id"], items, is_stored=bool(response["store"]))

    def kept(self) -> Kept | None:
        """Return what is to be stored. What the turn continues is stored with it, unless it is already."""
        found = super().kept()
        if found is None or self._past is None or self._past.is_stored:
            return found
        given = [*self.history, *as_items(self.input)]
        return replace(found, resource={**found.resource, "previous_response_id": None}, input=given)

    def without_engine(self, stamp: Stamp) -> Answer | None:
        """Return the answer to a request that only prepares the next one: it has an id and no output."""
        if self._generates:
            return super().without_engine(stamp)
        self.engine_body()  # to refuse now what would be refused then
        envelope = life.Envelope()
        head = self.head(stamp)
        end = resource.ended("stop", self.manner, [], Usage(0, 0, 0, 0), stamp.completed_at)
        for kind in ("created", "in_progress"):
            envelope.add(kind, response={**head, **resource.begun()})
        self._written = {**head, **end}
        envelope.add("completed", response=self._written)
        events = [self.framing.event(event["type"], wire.encode(event)) for event in envelope.take()]
        return Answer(b"".join(events), end["status"], Generation())
