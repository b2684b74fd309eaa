"""POST /tokenize and /detokenize, passed through. Pure."""

from typing import ClassVar

import msgspec

from responses_api import wire
from responses_api.convert.generation import Usage
from responses_api.convert.passed.exchange import UngeneratedExchange
from responses_api.errors import BadAnswerError


class Tokens(msgspec.Struct):
    """What the gateway reads of the answer of `/tokenize`."""

    tokens: msgspec.Raw
    count: int | None = None


class Text(msgspec.Struct):
    """The answer of `/detokenize`."""

    prompt: str


_tokens_decoder = msgspec.json.Decoder(Tokens)
_text_decoder = msgspec.json.Decoder(Text)


class TokenizeExchange(UngeneratedExchange):
    """POST /tokenize, passed through: a text, or a conversation as the model's template renders it."""

    api: ClassVar[str] = "tokenize"
    id_prefix: ClassVar[str] = "tok"
    input_param: ClassVar[str] = "prompt"
    path = "/tokenize"
    optional: ClassVar = {"chat_template_kwargs": dict}

    def engine_body(self) -> bytes:
        """Return the request. A conversation is rendered as the profile's other requests are."""
        return wire.encode(self.rendered() if "messages" in self.request else self.renamed())

    def usage(self, raw: bytes) -> Usage:
        """Return how many tokens there are. Raises BadAnswerError if there are none."""
        try:
            return Usage(input_tokens=_tokens_decoder.decode(raw).count)
        except (ValueError, RecursionError) as error:
            raise BadAnswerError(f"The engine's answer holds no tokens: {error}") from None


class DetokenizeExchange(UngeneratedExchange):
    """POST /detokenize, passed through."""

    api: ClassVar[str] = "detokenize"
    id_prefix: ClassVar[str] = "detok"
    input_param: ClassVar[str] = "tokens"
    path = "/detokenize"

    def engine_body(self) -> bytes:
        """Return the request with the engine's name of the model."""
        return wire.encode(self.renamed())

    def usage(self, raw: bytes) -> None:
        """Return nothing: no tokens are counted. Raises BadAnswerError if there is no text."""
        try:
            _text_decoder.decode(raw)
        except (ValueError, RecursionError) as error:
            raise BadAnswerError(f"The engine's answer holds no text: {error}") from None
