"""Chat completions of a scripted engine: vllm/entrypoints/openai/chat_completion."""

from collections.abc import Iterator
from typing import Any

from tests.fakes.engine_generation import (
    FINGERPRINT,
    LOGPROB,
    Asked,
    Choice,
    Prompt,
    Reply,
    Token,
    frame_of,
    shown,
    without_nulls,
)
from tests.fakes.engine_refusals import Refused, check_fields, invalid
from tests.fakes.engine_words import ids_of, pieces_of

MOST_LOGPROBS = 20


def text_of(content: Any) -> str:
    """Return the text of a message's content, "" if it has none."""
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def prompt_of(messages: list[Any]) -> Prompt:
    """Return the prompt that these messages make. The chat template of this model adds nothing to their words."""
    texts = [text_of(message.get("content")) for message in messages if isinstance(message, dict)]
    return Prompt(pieces_of("\n".join(text for text in texts if text)), texts[-1] if texts else "")


def asked_of(body: dict[str, Any]) -> Asked:
    """Return what a request asks for; raise Refused where vLLM does."""
    check_fields(body, lists=("messages",))
    _check_settings(body)
    _check_tools(body)
    messages = body["messages"]
    if not messages:
        raise Refused("Cannot apply chat template to an empty conversation. Provide at least one message.")
    limit_name = "max_completion_tokens" if body.get("max_completion_tokens") is not None else "max_tokens"
    stop = body.get("stop") or []
    tools, choice = body.get("tools") or [], body.get("tool_choice")
    asked = Asked(
        [prompt_of(messages)],
        limit=body.get(limit_name),
        limit_name=limit_name,
        n=body.get("n") or 1,
        stop=[stop] if isinstance(stop, str) else stop,
        tools=[tool["function"]["name"] for tool in tools],
        result=result_of(messages),
    )
    if isinstance(choice, dict):
        asked.forced, asked.forced_by_name = choice["function"]["name"], True
    elif choice == "required":
        asked.forced = asked.tools[0]
    elif choice == "none":
        asked.tools = []
    return asked


def result_of(messages: list[Any]) -> str | None:
    """Return the last tool result after the assistant's last turn, None if there is none."""
    for message in reversed(messages):
        if message.get("role") == "tool":
            return text_of(message.get("content"))
        if message.get("role") == "assistant":
            return None
    return None


def _check_settings(body: dict[str, Any]) -> None:
    top = body.get("top_logprobs")
    if top and not body.get("logprobs"):
        raise invalid("when using `top_logprobs`, `logprobs` must be set to true.", param="top_logprobs")
    if body.get("logprobs") and (top or 0) > MOST_LOGPROBS:
        raise Refused(
            f"Requested sample logprobs of {top}, which is greater than max allowed: {MOST_LOGPROBS} "
            f"(parameter=logprobs, value={top})",
            param="logprobs",
        )
    check_stream_options(body)
    if body.get("n") is not None and body["n"] < 1:
        raise Refused(f"n must be at least 1, got {body['n']}.")
    if (body.get("n") or 1) > 1 and body.get("temperature") == 0:
        raise Refused(f"n must be 1 when using greedy sampling, got {body['n']}.")


def check_stream_options(body: dict[str, Any]) -> None:
    """Raise Refused for options of a stream without a stream."""
    if body.get("stream_options") and not body.get("stream"):
        raise invalid("Stream options can only be defined when `stream=True`.", param="stream_options")


def _check_tools(body: dict[str, Any]) -> None:
    tools, choice = body.get("tools"), body.get("tool_choice")
    if tools == []:
        raise invalid(
            "`tools` must not be an empty array. Either provide at least one tool or omit the field entirely.",
            param="tools",
        )
    if choice in (None, "none"):
        return
    if tools is None:
        raise invalid("When using `tool_choice`, `tools` must be set.", param="tool_choice")
    if isinstance(choice, dict):
        if (choice.get("function") or {}).get("name") not in [tool["function"]["name"] for tool in tools]:
            raise invalid(
                "The tool specified in `tool_choice` does not match any of the specified `tools`", param="tool_choice"
            )
    elif choice not in ("auto", "required"):
        raise invalid(
            f'Invalid value for `tool_choice`: {choice}! Only named tools, "none", "auto" or "required" are supported.',
            param="tool_choice",
        )


def whole(reply: Reply) -> dict[str, Any]:
    """Return the answer of a request that does not stream."""
    wants_ids = reply.body.get("return_token_ids")
    return {
        "id": "chatcmpl-" + reply.number,
        "object": "chat.completion",
        "created": reply.created,
        "model": reply.model,
        "choices": [
            {
                "index": choice.index,
                "message": choice.message,
                "logprobs": _logprobs(choice.tokens, reply.body),
                "finish_reason": choice.finish,
                "stop_reason": choice.stop_reason,
                "token_ids": [token.id for token in choice.tokens] if wants_ids else None,
                "routed_experts": None,
            }
            for choice in reply.choices
        ],
        "service_tier": None,
        "system_fingerprint": FINGERPRINT,
        "usage": reply.usage,
        "prompt_logprobs": None,
        "prompt_token_ids": reply.choices[0].prompt.ids if wants_ids else None,
        "prompt_text": None,
        "kv_transfer_params": None,
        "ec_transfer_params": None,
        "metrics": None,
    }


def frames(reply: Reply) -> list[bytes]:
    """Return the events of a stream, `[DONE]` included."""
    return [*map(frame_of, chunks(reply)), b"data: [DONE]\n\n"]


def chunks(reply: Reply) -> Iterator[dict[str, Any]]:
    """Yield the chunks of a stream, a token at a time."""
    body = reply.body
    options = body.get("stream_options") or {}
    wants_ids = body.get("return_token_ids")
    head = {"id": "chatcmpl-" + reply.number, "object": "chat.completion.chunk", "created": reply.created}
    head["model"] = reply.model
    generated = 0

    def running() -> dict[str, Any]:
        """Return the usage so far, where every chunk is to have it."""
        if not (options.get("include_usage") and options.get("continuous_usage_stats")) or reply.usage is None:
            return {}
        prompt = reply.reported["prompt_tokens"]
        counts = {"prompt_tokens": prompt, "total_tokens": prompt + generated, "completion_tokens": generated}
        return {"usage": {**counts, "completion_tokens_details": {"reasoning_tokens": 0}}}

    for choice in reply.choices:
        first = {"index": choice.index, "delta": {"role": "assistant", "content": ""}, "logprobs": None}
        ids = choice.prompt.ids if wants_ids else None
        prompt = {"prompt_token_ids": ids, "prompt_text": None}
        yield {**head, "choices": [{**first, "finish_reason": None}], **running(), **prompt}
    for choice, token, is_last in reply.by_step():
        generated += 1
        made = {"index": choice.index, "delta": _delta(choice, token), "logprobs": _logprobs([token], body)}
        made["finish_reason"] = choice.finish if is_last else None
        if is_last:
            made["stop_reason"] = choice.stop_reason
        made["token_ids"] = [token.id] if wants_ids else None
        chunk = {**head, "choices": [made], **running()}
        yield chunk if options.get("include_usage") or not is_last else {**chunk, "system_fingerprint": FINGERPRINT}
    if options.get("include_usage"):
        usage = without_nulls(reply.usage) if reply.usage else reply.usage
        yield {**head, "choices": [], "usage": usage, "system_fingerprint": FINGERPRINT}


def _delta(choice: Choice, token: Token) -> dict[str, Any]:
    if not token.field:
        return {}
    if token.field != "tool_calls":
        return {token.field: token.piece}
    call = choice.calls[token.call]
    if not token.starts:
        piece = {"index": token.call, "function": {"arguments": token.piece}}
        return {"content": None, "tool_calls": [piece]}
    begun = {"id": call["id"], "type": "function", "index": token.call, "function": {"name": call["function"]["name"]}}
    return {"content": None, "tool_calls": [begun]}


def _logprobs(tokens: list[Token], body: dict[str, Any]) -> dict[str, Any] | None:
    return {"content": logprobs_of(tokens, body)} if body.get("logprobs") else None


def logprobs_of(tokens: list[Token], body: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the log probabilities of tokens, with as many alternatives as `top_logprobs` asks for."""
    found = []
    for token in tokens:
        one = {"token": shown(token, body), "logprob": LOGPROB, "bytes": [*token.piece.encode()]}
        others = [_other(number, body) for number in range(1, body.get("top_logprobs") or 0)]
        found.append({**one, "top_logprobs": [dict(one), *others] if body.get("top_logprobs") else []})
    return found


def _other(number: int, body: dict[str, Any]) -> dict[str, Any]:
    token = Token("", f" other{number}")
    return {"token": shown(token, body), "logprob": LOGPROB - number, "bytes": [*token.piece.encode()]}


def prompt_ids(messages: list[Any]) -> list[int]:
    """Return the token ids of the prompt that these messages make."""
    return ids_of(prompt_of(messages).pieces)
