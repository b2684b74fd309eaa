"""How an answer is read and written: what of the profile and of the request decides it. Pure."""

from typing import NamedTuple

from responses_api.convert.profile import ProfileSettings
from responses_api.convert.seal import Seal
from responses_api.convert.think import TAGS, Tags
from responses_api.convert.tools import EMPTY, Toolbox


class Manner(NamedTuple):
    """How one answer is read and written."""

    tags: Tags | None = None  # around thoughts in the text; None: they stay there
    begins_in_thought: bool = False  # the text, as the template has opened one
    shown_as: str = "summary"  # where thoughts stand in their item; or content, or both
    length_is_completed: bool = False
    wants_token_ids: bool = False
    wants_logprobs: bool = False  # of the text
    toolbox: Toolbox = EMPTY
    seal: Seal | None = None  # of the caller, who wants thoughts under seal too

    @property
    def closing_tag(self) -> str:
        """What ends a thought among the tokens, even where the engine takes it out of the text."""
        return (self.tags or TAGS).closing

    def takes_call(self, name: str, before: int) -> bool:
        """Return whether a call is the caller's to have, given how many before it are: what the request forbids is
        never sent, whatever the model says.
        """
        box = self.toolbox
        return (box.at_most is None or before < box.at_most) and box.allows(name)


def of(
    settings: ProfileSettings, toolbox: Toolbox = EMPTY, *, wants_logprobs: bool = False, seal: Seal | None = None
) -> Manner:
    """Return the manner that a profile's settings ask for, and a request."""
    return Manner(
        tags=settings.tags if settings.uses_reasoning_parser else None,
        begins_in_thought=settings.begins_in_thought,
        shown_as=settings.reasoning_shown_as,
        length_is_completed=settings.length_is_completed,
        wants_token_ids=settings.return_token_id_information,
        wants_logprobs=wants_logprobs,
        toolbox=toolbox,
        seal=seal,
    )
