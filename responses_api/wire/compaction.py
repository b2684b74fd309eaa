"""The body of POST /v1/responses/compact. Pure."""

from typing import Any, Literal

import msgspec

from responses_api.wire.reading import decoded


class CompactRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /v1/responses/compact."""

    model: str
    input: str | list[dict[str, Any]] | None = None
    previous_response_id: str | None = None
    instructions: str | None = None
    prompt_cache_key: str | None = None
    # They tell OpenAI's servers where to work and what to keep. There is one place here, and nothing is kept.
    service_tier: Literal["auto", "default", "flex", "priority", "scale"] | None = None
    prompt_cache_retention: str | None = None
    prompt_cache_options: dict[str, Any] | None = None


_decoder = msgspec.json.Decoder(CompactRequest)


def compact_request(body: bytes) -> CompactRequest:
    """Return the request.

    Raises:
        RequestError: naming the parameter that is malformed, missing, unknown or of a wrong type.
    """
    return decoded(_decoder, body)
