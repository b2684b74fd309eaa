"""Which path of /v1 is served by which consumer."""

from django.urls import re_path

from responses_api.consumers import stored
from responses_api.consumers.paths import (
    ChatConsumer,
    CodexCatalogConsumer,
    CompactionConsumer,
    CompletionsConsumer,
    CountTokensConsumer,
    DetokenizeConsumer,
    EmbeddingsConsumer,
    InputTokensConsumer,
    LiveConsumer,
    MessagesConsumer,
    ModelConsumer,
    ModelsConsumer,
    ReadyConsumer,
    ResponsesConsumer,
    TokenizeConsumer,
    UnknownConsumer,
)
from responses_api.consumers.websocket import ResponsesSocket

# Where the traffic goes: looked up, before anything is searched for.
busiest = {
    "/v1/responses": ResponsesConsumer.as_asgi(),
    "/v1/chat/completions": ChatConsumer.as_asgi(),
}
http_urlpatterns = [
    re_path(r"^livez$", LiveConsumer.as_asgi()),
    re_path(r"^readyz$", ReadyConsumer.as_asgi()),
    re_path(r"^v1/responses/?$", ResponsesConsumer.as_asgi()),
    re_path(r"^v1/responses/compact/?$", CompactionConsumer.as_asgi()),
    re_path(r"^v1/responses/input_tokens/?$", InputTokensConsumer.as_asgi()),
    re_path(r"^v1/chat/completions/?$", ChatConsumer.as_asgi()),
    re_path(r"^v1/completions/?$", CompletionsConsumer.as_asgi()),
    re_path(r"^v1/embeddings/?$", EmbeddingsConsumer.as_asgi()),
    re_path(r"^v1/messages/?$", MessagesConsumer.as_asgi()),
    re_path(r"^v1/messages/count_tokens/?$", CountTokensConsumer.as_asgi()),
    # vLLM has these two beside /v1, other servers below it.
    re_path(r"^(?:v1/)?tokenize/?$", TokenizeConsumer.as_asgi()),
    re_path(r"^(?:v1/)?detokenize/?$", DetokenizeConsumer.as_asgi()),
    re_path(r"^v1/models/?$", ModelsConsumer.as_asgi()),
    re_path(r"^v1/models/(?P<name>.+?)/?$", ModelConsumer.as_asgi()),
    re_path(r"^v1/profiles/(?P<name>.+)/codex-catalog/?$", CodexCatalogConsumer.as_asgi()),
    *(re_path(path, consumer.as_asgi()) for path, consumer in stored.PATHS.items()),
    re_path(r"^v1(?:/|$)", UnknownConsumer.as_asgi()),
]

websocket_urlpatterns = [
    re_path(r"^v1/responses/?$", ResponsesSocket.as_asgi()),
]
