"""POST /v1/responses/input_tokens: how many tokens the input of a response would have. Pure."""

from dataclasses import replace
from typing import ClassVar

import msgspec

from responses_api import wire
from responses_api.convert.answer import Answer
from responses_api.convert.dialects.rendered import Rendered
from responses_api.convert.generation import Generation, Usage
from responses_api.convert.profile import ProfileSettings
from responses_api.convert.resource import Stamp
from responses_api.convert.responses_exchange import ResponsesExchange
from responses_api.errors import BadAnswerError, RequestError

# What of a request its input depends on, and what may stand beside it.
FIELDS = frozenset(
    {"model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "text", "reasoning", "truncation"}
    | {"previous_response_id", "conversation"}
)


class Counted(msgspec.Struct):
    """What the gateway reads of the answer of `/tokenize`."""

    count: int


_decoder = msgspec.json.Decoder(Counted)


class InputTokensExchange(ResponsesExchange):
    """POST /v1/responses/input_tokens: the engine's `/tokenize` renders the input of a response, and counts."""

    api: ClassVar[str] = "input_tokens"
    id_prefix: ClassVar[str] = "count"
    generates = False

    def __init__(self, body: bytes) -> None:
        """Parse the request. Raises RequestError."""
        given = wire.json_object(body)
        for name in given:
            if name not in FIELDS:
                raise RequestError(f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
        if given.get("input") is None:
            given["input"] = []
        super().__init__(wire.encode(given))

    def may_store(self, *, allowed: bool) -> None:  # noqa: ARG002
        """Store nothing: what is counted is not said."""
        self.request.store = False

    def use(self, settings: ProfileSettings) -> None:
        """Let these settings hold, but for those that are about answers."""
        super().use(
            replace(
                settings,
                is_responses_native=False,
                return_token_id_information=False,
                sequential_reasoning_allowed=True,
            )
        )
        self.path = "/tokenize"

    def before(self) -> None:
        """Return nothing: it is the one question."""
        return

    def engine_body(self) -> bytes:
        """Return what is to be tokenized. Raises RequestError."""
        self.sent = self.to_engine()
        if self.settings.use_completions_api and not self.settings.render_chat_template:
            return wire.encode(self.dialect.of_prompt(self.sent))
        self.sent.pop("tool_choice", None)  # which nobody has to meet here
        return Rendered(self.input_param).before(self.sent).body

    def answer(self, raw: bytes, stamp: Stamp) -> Answer:  # noqa: ARG002
        """Return the count. Raises BadAnswerError if there is none."""
        try:
            count = _decoder.decode(raw).count
        except (ValueError, RecursionError) as error:
            raise BadAnswerError(f"The engine's answer holds no count: {error}") from None
        body = {"object": "response.input_tokens", "input_tokens": count}
        return Answer(wire.encode(body), "completed", Generation(usage=Usage(input_tokens=count)))
