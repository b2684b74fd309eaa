"""A config profile's request-time settings, prepared once for every request that uses it. Pure."""

from dataclasses import dataclass, field
from typing import Any

# What the gateway itself decides: a profile that sets them would break it.
GATEWAY_OWNED = frozenset({"model", "messages", "stream", "stream_options"})


@dataclass(frozen=True, slots=True)
class ProfileSettings:
    """What of a profile shapes the engine's request and the reading of its answer."""

    name: str
    engine_model: str
    uses_reasoning_parser: bool = True
    developer_becomes_system: bool = False
    overflow_is_error: bool = False
    chat_template_kwargs: dict[str, Any] = field(default_factory=dict)
    extra_body: dict[str, Any] = field(default_factory=dict)
    sampling_overrides: dict[str, Any] = field(default_factory=dict)

    def engine_body(self, request: dict[str, Any], messages: list[Any]) -> dict[str, Any]:
        """Return the engine's request body. Highest first: `sampling_overrides`, the gateway's own, the request
        (an explicit null counts), `extra_body`. `chat_template_kwargs` of the request are laid over the profile's.
        """
        body = {**self.extra_body, **request, "model": self.engine_model, "messages": messages}
        if self.chat_template_kwargs:
            body["chat_template_kwargs"] = {**self.chat_template_kwargs, **(request.get("chat_template_kwargs") or {})}
        body |= self.sampling_overrides
        return body


def settings_of_gateway_removed(extra: dict[str, Any]) -> dict[str, Any]:
    """Return a profile's extra fields without those that the gateway owns."""
    return {name: value for name, value in extra.items() if name not in GATEWAY_OWNED}
