"""The paths of /v1 that are answered at once or streamed."""

from typing import ClassVar

from responses_api.consumers.base import EventStream, GatewayConsumer, gateway
from responses_api.convert.chat_exchange import ChatExchange
from responses_api.convert.compaction import CompactionExchange
from responses_api.convert.exchange import Exchange
from responses_api.convert.input_tokens import InputTokensExchange
from responses_api.convert.passed import (
    CompletionsExchange,
    CountTokensExchange,
    DetokenizeExchange,
    EmbeddingsExchange,
    MessagesExchange,
    TokenizeExchange,
    error_body,
)
from responses_api.convert.responses_exchange import ResponsesExchange
from responses_api.errors import GatewayError, PathNotFoundError
from responses_api.trace import Arrival, Reply


class ExchangeConsumer(GatewayConsumer):
    """A path that asks an engine."""

    exchange: ClassVar[type[Exchange]]

    async def answer(self, arrival: Arrival) -> Reply | None:
        """Ask an engine."""
        return await gateway().answer(self.exchange, arrival, EventStream(self, arrival))


class ResponsesConsumer(ExchangeConsumer):
    """POST /v1/responses."""

    exchange = ResponsesExchange


class CompactionConsumer(ExchangeConsumer):
    """POST /v1/responses/compact."""

    exchange = CompactionExchange


class InputTokensConsumer(ExchangeConsumer):
    """POST /v1/responses/input_tokens."""

    exchange = InputTokensExchange


class ChatConsumer(ExchangeConsumer):
    """POST /v1/chat/completions."""

    exchange = ChatExchange


class CompletionsConsumer(ExchangeConsumer):
    """POST /v1/completions."""

    exchange = CompletionsExchange


class EmbeddingsConsumer(ExchangeConsumer):
    """POST /v1/embeddings."""

    exchange = EmbeddingsExchange


class AnthropicConsumer(ExchangeConsumer):
    """A path of Anthropic's API."""

    def error_body(self, error: GatewayError) -> dict[str, object]:
        """Return the body of an error as Anthropic's clients read it."""
        return error_body(error)


class MessagesConsumer(AnthropicConsumer):
    """POST /v1/messages."""

    exchange = MessagesExchange


class CountTokensConsumer(AnthropicConsumer):
    """POST /v1/messages/count_tokens."""

    exchange = CountTokensExchange


class TokenizeConsumer(ExchangeConsumer):
    """POST /tokenize."""

    exchange = TokenizeExchange


class DetokenizeConsumer(ExchangeConsumer):
    """POST /detokenize."""

    exchange = DetokenizeExchange


class ModelsConsumer(GatewayConsumer):
    """GET /v1/models."""

    method = "GET"

    async def answer(self, arrival: Arrival) -> Reply:
        """List the profiles."""
        return await gateway().models(arrival)


class ModelConsumer(GatewayConsumer):
    """GET /v1/models/{name}."""

    method = "GET"

    async def answer(self, arrival: Arrival) -> Reply:
        """Describe one profile."""
        return await gateway().model(arrival, self.scope["url_route"]["kwargs"]["name"])


class CodexCatalogConsumer(GatewayConsumer):
    """GET /v1/profiles/{name}/codex-catalog."""

    method = "GET"

    async def answer(self, arrival: Arrival) -> Reply:
        """Describe one profile to Codex."""
        return await gateway().codex_catalog(arrival, self.scope["url_route"]["kwargs"]["name"])


class UnknownConsumer(GatewayConsumer):
    """Any other path below /v1."""

    def error_body(self, error: GatewayError) -> dict[str, object]:
        """Return the body of an error in the words of the API that the path seems to be of."""
        is_anthropics = self.scope["path"].startswith("/v1/messages/")
        return error_body(error) if is_anthropics else super().error_body(error)

    async def handle(self, body: bytes) -> None:
        """Answer 404, whatever the method."""
        error = PathNotFoundError(self.scope["method"], self.scope["path"])
        await self.refuse(self.arrival(body), error)


class LiveConsumer(GatewayConsumer):
    """GET /livez: this process answers. It looks at nothing else."""

    method = "GET"

    async def answer(self, arrival: Arrival) -> Reply:  # noqa: ARG002
        """Say so, to anybody."""
        return Reply(200, b'{"status":"ok"}')


class ReadyConsumer(GatewayConsumer):
    """GET /readyz: whether requests should be sent to this process."""

    method = "GET"

    async def answer(self, arrival: Arrival) -> Reply:  # noqa: ARG002
        """Say so, to anybody."""
        return await gateway().ready()
