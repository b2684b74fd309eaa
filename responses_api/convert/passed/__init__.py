"""The engine's other APIs. They pass through under the gateway's ids, profile names, sessions and ledger. Pure."""

from responses_api.convert.passed.completions import CompletionsExchange
from responses_api.convert.passed.embeddings import EmbeddingsExchange
from responses_api.convert.passed.messages import CountTokensExchange, MessagesExchange, error_body
from responses_api.convert.passed.tokens import DetokenizeExchange, TokenizeExchange

__all__ = [
    "CompletionsExchange",
    "CountTokensExchange",
    "DetokenizeExchange",
    "EmbeddingsExchange",
    "MessagesExchange",
    "TokenizeExchange",
    "error_body",
]
