"""The paths of /v1 about what is stored: responses and conversations."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import ClassVar
from urllib.parse import parse_qsl

from responses_api.consumers.base import EventStream, GatewayConsumer, gateway
from responses_api.convert import kept
from responses_api.gateway import Gateway
from responses_api.stored import Asked
from responses_api.trace import Arrival, Reply

Handler = Callable[[Asked], Awaitable[Reply | None]]


class StateConsumer(GatewayConsumer):
    """A path that answers some methods, each by a handler of the gateway's state."""

    handlers: ClassVar[Mapping[str, Callable[[Gateway], Handler]]]

    def methods(self) -> Iterable[str]:
        """Return the methods that the path is called with."""
        return self.handlers

    async def answer(self, arrival: Arrival) -> Reply | None:
        """Return the handler's reply; None if it was streamed."""
        return await self.look_up(self.handlers[self.asked], arrival)

    async def look_up(self, find: Callable[[Gateway], Handler], arrival: Arrival) -> Reply | None:
        """Return what this handler replies."""
        return await gateway().about_stored(find(gateway()), arrival, self.names, self.query)

    @property
    def names(self) -> dict[str, str]:
        """The names in the path."""
        return {name: _askable(text) for name, text in self.scope["url_route"]["kwargs"].items()}

    @property
    def query(self) -> dict[str, str]:
        """The parameters of the URL; of one that is there twice, the last."""
        pairs = parse_qsl(self.scope["query_string"].decode("latin-1"), keep_blank_values=True)
        return {name: _askable(text) for name, text in pairs}


def _askable(text: str) -> str:
    """Return text that a database can be asked for: PostgreSQL takes no NUL, and nothing has one in its id."""
    return text.replace(kept.NUL, "\N{REPLACEMENT CHARACTER}")


class ResponseConsumer(StateConsumer):
    """/v1/responses/{id}."""

    handlers = {"GET": lambda this: this.responses.retrieve, "DELETE": lambda this: this.responses.delete}

    async def look_up(self, find: Callable[[Gateway], Handler], arrival: Arrival) -> Reply | None:
        """Return the reply; stream a stream again, if that is asked for."""
        if self.scope["method"] == "GET" and self.query.get("stream") == "true":
            outlet = EventStream(self, arrival)
            return await super().look_up(lambda this: partial(this.responses.read_again, outlet=outlet), arrival)
        return await super().look_up(find, arrival)


class InputItemsConsumer(StateConsumer):
    """/v1/responses/{id}/input_items."""

    handlers = {"GET": lambda this: this.responses.input_items}


class CancelConsumer(StateConsumer):
    """/v1/responses/{id}/cancel."""

    handlers = {"POST": lambda this: this.responses.cancel}


class ConversationsConsumer(StateConsumer):
    """/v1/conversations."""

    handlers = {"POST": lambda this: this.conversations.create}


class ConversationConsumer(StateConsumer):
    """/v1/conversations/{id}."""

    handlers = {
        "GET": lambda this: this.conversations.retrieve,
        "POST": lambda this: this.conversations.update,
        "DELETE": lambda this: this.conversations.delete,
    }


class ConversationItemsConsumer(StateConsumer):
    """/v1/conversations/{id}/items."""

    handlers = {"GET": lambda this: this.conversations.items, "POST": lambda this: this.conversations.add}


class ConversationItemConsumer(StateConsumer):
    """/v1/conversations/{id}/items/{item_id}."""

    handlers = {"GET": lambda this: this.conversations.item, "DELETE": lambda this: this.conversations.delete_item}


Consumer = type[StateConsumer]
PATHS: Mapping[str, Consumer] = {
    r"^v1/responses/(?P<response_id>[^/]+)/?$": ResponseConsumer,
    r"^v1/responses/(?P<response_id>[^/]+)/input_items/?$": InputItemsConsumer,
    r"^v1/responses/(?P<response_id>[^/]+)/cancel/?$": CancelConsumer,
    r"^v1/conversations/?$": ConversationsConsumer,
    r"^v1/conversations/(?P<conversation_id>[^/]+)/?$": ConversationConsumer,
    r"^v1/conversations/(?P<conversation_id>[^/]+)/items/?$": ConversationItemsConsumer,
    r"^v1/conversations/(?P<conversation_id>[^/]+)/items/(?P<item_id>[^/]+)/?$": ConversationItemConsumer,
}
