"""The messages of a chat completion as they grow from a conversation's items. Pure.

What the assistant did in a row (reasoning, messages, calls) becomes one assistant message, because that is how chat
templates see a turn; any other message ends the row.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from responses_api.convert import think
from responses_api.convert.profile import ProfileSettings
from responses_api.convert.seal import Seal
from responses_api.convert.think import Tags
from responses_api.errors import RequestError

Message = dict[str, Any]

BETWEEN_THOUGHTS = "\n\n"
# What training reads of an answer, on the last item that it had. All of them, or none.
TOKEN_IDS = ("prompt_token_ids", "generation_token_ids", "generation_log_probs")


def token_ids(holder: Mapping[str, Any], at: str) -> dict[str, Any]:
    """Return the numbers of tokens that an item or a message holds.

    Raises:
        RequestError: if it holds some, and not all.
    """
    found = {name: holder[name] for name in TOKEN_IDS if holder.get(name) is not None}
    if found and len(found) < len(TOKEN_IDS):
        missing = next(name for name in TOKEN_IDS if name not in found)
        raise RequestError(
            f"'{at}.{missing}' is missing: {', '.join(TOKEN_IDS)} go together.",
            param=f"{at}.{missing}",
            code="missing_required_parameter",
        )
    return found


@dataclass(slots=True)
class Turn:
    """What the assistant did in a row: thoughts and words in their order, and calls."""

    said: list[tuple[bool, str]] = field(default_factory=list)  # (is it a thought, the text)
    calls: list[dict[str, Any]] = field(default_factory=list)
    token_ids: dict[str, Any] = field(default_factory=dict)  # the last that were given

    def message(self, settings: ProfileSettings) -> Message:
        """Return the chat message: thoughts where the profile wants those of earlier turns, if it wants them."""
        message = written(self.said, settings)
        if self.calls:
            message["tool_calls"] = self.calls
        if settings.return_token_id_information:
            message |= self.token_ids
        return message


def forgetful(settings: ProfileSettings) -> ProfileSettings:
    """Return the settings under which no thoughts go back."""
    return replace(settings, uses_interleaved_reasoning=False)


def written(said: list[tuple[bool, str]], settings: ProfileSettings) -> Message:
    """Return what an assistant said as a message: its thoughts in fields of their own, as tags in the text where they
    were thought, or left out.
    """
    if not settings.uses_reasoning_parser or settings.preserve_reasoning_in_assistant_content:
        return inline(said, settings.tags, keep_thoughts=settings.uses_interleaved_reasoning)
    return apart(said, settings.tags, keep_thoughts=settings.uses_interleaved_reasoning)


def inline(said: list[tuple[bool, str]], tags: Tags, *, keep_thoughts: bool) -> Message:
    """Return an assistant message whose thoughts stand in its content, between tags.

    A tag inside a thought would end it too early: it is left out.
    """
    content = "".join(
        think.wrap(text.replace(tags.opening, "").replace(tags.closing, ""), tags) if is_thought else text
        for is_thought, text in said
        if keep_thoughts or not is_thought
    )
    return {"role": "assistant", "content": content or None}


def apart(said: list[tuple[bool, str]], tags: Tags, *, keep_thoughts: bool = True) -> Message:
    """Return an assistant message whose thoughts, tagged ones included, stand beside its content.

    They go under both names: `reasoning` is vLLM's, `reasoning_content` what older ones and other servers read.
    """
    thoughts: list[str] = []
    spoken: list[str] = []
    for is_thought, text in said:
        found, rest = ([text], "") if is_thought else think.split(text, tags)
        thoughts += found
        spoken.append(rest)
    content = "".join(spoken)
    reasoning = BETWEEN_THOUGHTS.join(filter(None, thoughts))
    if not reasoning:
        return {"role": "assistant", "content": content or None}
    if not keep_thoughts:
        return {"role": "assistant", "content": content}
    return {"role": "assistant", "content": content, "reasoning_content": reasoning, "reasoning": reasoning}


@dataclass(slots=True)
class Transcript:
    """The messages so far, and the assistant's turn that may go on."""

    settings: ProfileSettings
    seal: Seal | None = None
    messages: list[Message] = field(default_factory=list)
    turn: Turn | None = None
    call_ids: set[str] = field(default_factory=set)

    def assistant(self) -> Turn:
        """Return the assistant's turn, beginning one if need be."""
        if self.turn is None:
            self.turn = Turn()
        return self.turn

    def add(self, message: Message) -> None:
        """End the assistant's turn and add somebody else's message."""
        self.end_turn()
        self.messages.append(message)

    def add_call(self, call_id: str, name: str, arguments: str) -> None:
        """Add a call to the assistant's turn."""
        self.call_ids.add(call_id)
        function = {"name": name, "arguments": arguments}
        self.assistant().calls.append({"id": call_id, "type": "function", "function": function})

    def add_output(self, call_id: str, content: Any, at: str) -> None:
        """Add what a call returned.

        Raises:
            RequestError: if nobody made the call. `at` is where its id stands.
        """
        if call_id not in self.call_ids:
            raise RequestError(f"No tool call found for function call output with call_id {call_id}.", param=at)
        self.add({"role": "tool", "tool_call_id": call_id, "content": content})

    def end_turn(self) -> None:
        """Write the assistant's turn down, if there is one."""
        if self.turn is not None:
            self.messages.append(self.turn.message(self.settings))
            self.turn = None


def folded(instructions: str | None, found: list[Message]) -> list[Message]:
    """Return the messages behind one system message: the instructions, and the run of system and developer messages
    that the input begins with. Chat templates take one system message, at the start. A single one is left as it is.
    """
    texts = [instructions] if instructions else []
    begun = len(texts)
    for message in found:
        text = _system_text(message)
        if text is None:
            break
        texts.append(text)
    if not texts or (len(texts) == 1 and not begun):
        return found
    return [{"role": "system", "content": "\n\n".join(texts)}, *found[len(texts) - begun :]]


def _system_text(message: Message) -> str | None:
    if message["role"] not in {"system", "developer"}:
        return None
    content = message["content"]
    if isinstance(content, str):
        return content
    if any(part["type"] != "text" for part in content):
        return None
    return "".join(part["text"] for part in content)
