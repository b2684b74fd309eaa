"""POST /v1/responses/compact: a conversation in, its summary out, under seal. Pure."""

from dataclasses import replace
from typing import Any, ClassVar

from responses_api import wire
from responses_api.convert import resource
from responses_api.convert.answer import Answer
from responses_api.convert.generation import Usage
from responses_api.convert.items import as_items
from responses_api.convert.profile import ProfileSettings
from responses_api.convert.resource import Stamp
from responses_api.convert.responses_exchange import ResponsesExchange
from responses_api.errors import BadAnswerError, RequestError
from responses_api.wire.compaction import compact_request

PROMPT = """\
The conversation above is about to be replaced by a summary that you write now. Whoever goes on from it, you included, \
will see the summary and nothing else, so leave out nothing that is needed to go on. Say under short headings:

1. What the user asked for, in the user's own words where the wording matters, with every constraint and preference.
2. What was done and found out: decisions and their reasons, names, numbers, paths, commands, identifiers, and results \
of tools, exactly as they were.
3. What failed, and why, so that it is not tried again.
4. What is still open, and what the next step is.

State facts only. Do not answer the conversation, do not ask anything, do not call tools. Write the summary alone."""


class CompactionExchange(ResponsesExchange):
    """POST /v1/responses/compact, as a request for a summary."""

    api: ClassVar[str] = "compact"
    id_prefix: ClassVar[str] = "compaction"

    def __init__(self, body: bytes) -> None:
        """Parse the request. Raises RequestError."""
        asked = compact_request(body)
        if not asked.input and asked.previous_response_id is None:
            raise RequestError(
                "There is nothing to compact: give 'input' or 'previous_response_id'.",
                param="input",
                code="missing_required_parameter",
            )
        given: dict[str, Any] = {
            "model": asked.model,
            "input": [*as_items(asked.input or []), {"role": "user", "content": PROMPT}],
            "previous_response_id": asked.previous_response_id,
            "instructions": asked.instructions,
            "prompt_cache_key": asked.prompt_cache_key,
            "store": False,
        }
        super().__init__(wire.encode(given))

    def use(self, settings: ProfileSettings) -> None:
        """Let these settings hold, but for two: an empty summary is worse than none, and nobody trains on it."""
        super().use(replace(settings, context_overflow="error", return_token_id_information=False))

    def answer(self, raw: bytes, stamp: Stamp) -> Answer:
        """Return the summary as a compaction item. Raises BadAnswerError if there is none."""
        whole = super().answer(raw, stamp)
        summary = whole.generation.text.strip()
        if not summary or self.seal is None:
            raise BadAnswerError("The engine wrote no summary.")
        item = {"id": stamp.new_id("cmp"), "type": "compaction", "encrypted_content": self.seal.close(summary)}
        body: dict[str, Any] = {
            "id": stamp.response_id,
            "object": "response.compaction",
            "created_at": stamp.created_at,
            "output": [item],
            "usage": resource.usage_of(whole.generation.usage or Usage()),
        }
        self._written = body
        return Answer(wire.encode(body), "completed", whole.generation)
