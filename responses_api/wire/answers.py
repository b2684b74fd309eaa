"""What engines send: chat completions, whole or in chunks, and errors. Pure."""

import re
from typing import Any

import msgspec


class Function(msgspec.Struct):
    """The function of a tool call. vLLM sends text; some servers send the arguments as an object."""

    name: str | None = None
    arguments: Any = None


class ToolCall(msgspec.Struct):
    """One entry of `tool_calls`, or a piece of it in a stream, where `index` tells parallel calls apart."""

    id: str | None = None
    function: Function | None = None
    index: int | None = None


class ChatMessage(msgspec.Struct):
    """What the model said. vLLM calls its reasoning field `reasoning`; others, and older ones, `reasoning_content`.
    Servers for training put the numbers of the tokens beside it. The last three are the gateway's own, of engines that
    speak Responses: messages in the order of the items they are of, an item of a kind that chat completions have no
    place for, and that a thought does not go on with the one before.
    """

    content: str | list[dict[str, Any]] | None = None
    refusal: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: Function | None = None
    prompt_token_ids: Any = None
    generation_token_ids: Any = None
    generation_log_probs: Any = None
    routed_experts: Any = None
    in_order: list["ChatMessage"] | None = None
    output_item: dict[str, Any] | None = None
    is_new_thought: bool = False


class Choice(msgspec.Struct):
    """One of the completions; the gateway asks for one."""

    message: ChatMessage
    finish_reason: str | None = None
    logprobs: Any = None
    token_ids: Any = None
    routed_experts: Any = None


class ChatCompletion(msgspec.Struct):
    """An engine's answer."""

    choices: list[Choice]
    usage: Any = None
    prompt_token_ids: Any = None


class ChunkChoice(msgspec.Struct):
    """What a chunk adds to one of the completions."""

    delta: ChatMessage | None = None
    index: int = 0
    finish_reason: str | None = None
    logprobs: Any = None
    token_ids: Any = None
    routed_experts: Any = None


class ChatChunk(msgspec.Struct):
    """One piece of an engine's streamed answer; the usage comes in one without choices."""

    choices: list[ChunkChoice] = []
    usage: Any = None
    prompt_token_ids: Any = None
    object: Any = None
    error: Any = None

    @property
    def is_error(self) -> bool:
        """Whether it tells of an error. Older engines send the bare object, without `error` around it."""
        return self.error is not None or self.object == "error"


class ErrorDetail(msgspec.Struct):
    """What engines put into an error."""

    message: str = ""
    param: Any = None
    code: Any = None


_any_decoder = msgspec.json.Decoder()
MAX_LINE = 300
completion_decoder = msgspec.json.Decoder(ChatCompletion)


def engine_error(body: bytes) -> ErrorDetail:
    """Return what an engine said in an error, in whichever of the usual shapes; empty if it said nothing readable.

    vLLM sends `{"error": {…}}`, older ones the object itself, its authentication `{"error": "text"}`, FastAPI
    `{"detail": …}`, which may be a list of what is wrong where, and web servers a line of text.
    """
    try:
        said = _any_decoder.decode(body)
    except (ValueError, RecursionError):
        return ErrorDetail(_line(body))
    for name in ("error", "detail"):
        if isinstance(said, dict) and name in said:
            said = said[name]
    if isinstance(said, list):
        return _complaints(said)
    if isinstance(said, str):
        return ErrorDetail(said)
    if not isinstance(said, dict) or not isinstance(said.get("message"), str):
        return ErrorDetail()
    return ErrorDetail(said["message"], said.get("param"), said.get("code"))


_ERROR = re.compile(rb'\s*\{\s*"(?:error"\s*:\s*[{"]|(?:object|type)"\s*:\s*"error")')


def status_of_error(body: bytes) -> int | None:
    """Return the HTTP status that an answer stands for that came as a good one, and is an error; None if it is none.
    Some servers and proxies answer 200 whatever they say.
    """
    if not _ERROR.match(body):
        return None
    code = engine_error(body).code
    return code if type(code) is int and 400 <= code < 600 else 500  # noqa: PLR2004


def _line(body: bytes) -> str:
    """Return a body that is one line of text; empty if it is a page, a stack trace or no text at all."""
    try:
        text = body[: MAX_LINE + 1].decode().strip()
    except UnicodeDecodeError:
        return ""
    return text if text.isprintable() and len(text) <= MAX_LINE and text[:1] not in ("<", "{", "[") else ""


def _complaints(said: list[Any]) -> ErrorDetail:
    """Return what FastAPI says of a body that it does not take: what is wrong, and where the first of that is."""
    found = [one for one in said if isinstance(one, dict) and isinstance(one.get("msg"), str)]
    places = [_place(one.get("loc")) for one in found]
    message = "; ".join(
        f"{place}: {one['msg']}" if place else one["msg"] for place, one in zip(places, found, strict=True)
    )
    return ErrorDetail(message, next(iter(places), None) or None)


def _place(loc: Any) -> str:
    steps = loc if isinstance(loc, list) else []
    return ".".join(str(step) for step in (steps[1:] if steps[:1] == ["body"] else steps))
