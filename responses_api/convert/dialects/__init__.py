"""The APIs that engines have, and how each is spoken by a gateway that thinks in chat completions. Pure."""

from responses_api.convert.dialects.completions import Completions
from responses_api.convert.dialects.dialect import CHAT, Dialect
from responses_api.convert.dialects.native import Native
from responses_api.convert.dialects.rendered import Rendered
from responses_api.convert.profile import ProfileSettings

__all__ = ["CHAT", "Dialect", "of"]


def of(settings: ProfileSettings, *, input_param: str, native: bool) -> Dialect:
    """Return how the profile's engines are asked. `input_param` is what callers name the conversation. `native`: the
    caller asks for a response, which some engines can make themselves.
    """
    if native and settings.is_responses_native:
        return Native()
    if not settings.use_completions_api:
        return CHAT
    return Rendered(input_param) if settings.render_chat_template else Completions(input_param)
