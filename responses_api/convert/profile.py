"""A config profile's request-time settings, prepared once for every request that uses it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from endpoints.profile_rules import GATEWAY_OWNED
from responses_api.convert.side_channel import FOR_OPERATORS, NOTHING, SideChannel
from responses_api.convert.think import Tags
from responses_api.errors import RequestError, UnsupportedError

TEMPLATE = "chat_template_kwargs"
# What limits an answer has two names in chat completions; engines look at the newer one first.
CAPS = frozenset({"max_tokens", "max_completion_tokens"})


@dataclass(frozen=True, slots=True)
class ProfileSettings:
    """What of a profile shapes the engine's request and the reading of its answer, under the profile's own names."""

    name: str
    engine_model: str
    is_responses_native: bool = False
    use_completions_api: bool = False
    render_chat_template: bool = False
    uses_reasoning_parser: bool = True
    think_start_tag: str = "<think>"
    think_end_tag: str = "</think>"
    begins_in_thought: bool = False
    uses_interleaved_reasoning: bool = True
    preserve_reasoning_in_assistant_content: bool = False
    sequential_reasoning_allowed: bool = True
    reasoning_shown_as: str = "summary"  # or content, or both
    replace_developer_role_with_system: bool = False
    unrunnable_tools: str = "adapt"  # or drop, or refuse
    context_overflow: str = "empty"  # or error
    length_is_completed: bool = False
    return_token_id_information: bool = False
    request_prompt_and_generation_token_ids: bool = False
    chat_template_kwargs: dict[str, Any] = field(default_factory=dict)
    extra_body: dict[str, Any] = field(default_factory=dict)
    sampling_overrides: dict[str, Any] = field(default_factory=dict)
    default_headers: dict[str, str] = field(default_factory=dict)
    audio_root: str = ""
    remote_media_allowed: bool = True

    @property
    def tags(self) -> Tags:
        """The tags around thoughts in text."""
        return Tags(self.think_start_tag, self.think_end_tag)

    def engine_body(self, request: dict[str, Any], messages: list[Any], asked: SideChannel = NOTHING) -> dict[str, Any]:
        """Return the engine's chat completion request. `asked` is what the request's metadata asks for.

        Raises:
            RequestError: if it asks for several answers, and one has the numbers of its tokens.
        """
        forced = self._token_fields(request) if self.return_token_id_information else {}
        return self.laid_over({**request, "messages": messages}, asked, forced, CAPS)

    def laid_over(
        self,
        request: dict[str, Any],
        asked: SideChannel = NOTHING,
        forced: Mapping[str, Any] = MappingProxyType({}),
        caps: frozenset[str] = frozenset(),
    ) -> dict[str, Any]:
        """Return a request with these settings laid over it. Highest first: `sampling_overrides`; what is forced, the
        engine's model among it; the request (an explicit null counts); what its metadata asks for; `extra_body`. `caps`
        are names of one thing: where one of them is, it beats all of them below.

        Raises:
            UnsupportedError: if the request sets what only a profile may.
        """
        if not FOR_OPERATORS.isdisjoint(request):
            _refuse_operators_fields(request)
        body = {**self.extra_body, **asked.extra_body, **request, **forced, "model": self.engine_model}
        if self.chat_template_kwargs or TEMPLATE in body or asked.chat_template_kwargs:
            self._lay_template_kwargs(body, request, asked)
        body |= self.sampling_overrides
        if len(caps & body.keys()) > 1:
            layers = (self.sampling_overrides, request, asked.extra_body, self.extra_body)
            highest = next(caps & layer.keys() for layer in layers if caps & layer.keys())
            for name in caps - highest:
                body.pop(name, None)
        return body

    def _lay_template_kwargs(self, body: dict[str, Any], request: dict[str, Any], asked: SideChannel) -> None:
        """Lay the template's arguments over each other, one by one, where other fields replace each other whole."""
        given = request.get(TEMPLATE) or {}
        if isinstance(given, dict):  # if not, the engine says what is wrong
            body[TEMPLATE] = {
                **(self.extra_body.get(TEMPLATE) or {}),
                **self.chat_template_kwargs,
                **(asked.extra_body.get(TEMPLATE) or {}),
                **given,
                **asked.chat_template_kwargs,
            }

    def _token_fields(self, request: dict[str, Any]) -> dict[str, Any]:
        if request.get("n") not in (None, 1):
            raise RequestError("This model answers once: its profile returns token ids.", param="n")
        top = request.get("top_logprobs")
        fields = {
            "logprobs": True,
            "top_logprobs": top if isinstance(top, int) and top > 0 else 0,
            "return_tokens_as_token_ids": True,
        }
        if self.request_prompt_and_generation_token_ids:
            fields["return_token_ids"] = True
        return fields


def _refuse_operators_fields(request: Mapping[str, Any]) -> None:
    for name in sorted(FOR_OPERATORS):
        if request.get(name) is not None:
            raise UnsupportedError(f"Callers cannot set '{name}': it names addresses inside.", param=name)


def settings_of_gateway_removed(extra: dict[str, Any]) -> dict[str, Any]:
    """Return a profile's extra fields without those that the gateway owns."""
    return {name: value for name, value in extra.items() if name not in GATEWAY_OWNED}
