"""POST /v1/embeddings, passed through. Pure."""

from typing import Any, ClassVar

import msgspec

from responses_api import wire
from responses_api.convert.generation import Usage, usage
from responses_api.convert.passed.exchange import UngeneratedExchange
from responses_api.errors import BadAnswerError


class Embeddings(msgspec.Struct):
    """What the gateway reads of an answer: the vectors go on as they came."""

    data: msgspec.Raw
    usage: dict[str, Any] | None = None


_decoder = msgspec.json.Decoder(Embeddings)


class EmbeddingsExchange(UngeneratedExchange):
    """POST /v1/embeddings, passed through. Nothing is sampled, so a profile's sampling does not apply."""

    api: ClassVar[str] = "embeddings"
    id_prefix: ClassVar[str] = "embd"
    input_param: ClassVar[str] = "input"
    path = "embeddings"

    def engine_body(self) -> bytes:
        """Return the request with the engine's name of the model."""
        return wire.encode(self.renamed())

    def usage(self, raw: bytes) -> Usage | None:
        """Return the tokens that the engine counted. Raises BadAnswerError if there are no vectors."""
        try:
            counted = _decoder.decode(raw).usage
        except (ValueError, RecursionError) as error:
            raise BadAnswerError(f"The engine's answer holds no embeddings: {error}") from None
        return None if counted is None else usage(counted)
