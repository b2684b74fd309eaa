"""Text completions of a scripted engine: vllm/entrypoints/openai/completion."""

from collections.abc import Iterator
from typing import Any

from tests.fakes.engine_chat import check_stream_options
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
from tests.fakes.engine_refusals import Refused, invalid
from tests.fakes.engine_words import pieces_of, word_of

DEFAULT_TOKENS = 16


def asked_of(body: dict[str, Any]) -> Asked:
    """Return what a request asks for; raise Refused where vLLM does."""
    check_stream_options(body)
    if body.get("prompt") in (None, ""):
        raise invalid("Either prompt or prompt_embeds must be provided and non-empty.", param="prompt")
    given = body["prompt"]
    if isinstance(given, str) or (given and isinstance(given[0], int)):
        given = [given]
    stop = body.get("stop") or []
    return Asked(
        [prompt_of(one) for one in given],
        limit=DEFAULT_TOKENS if body.get("max_tokens") is None else body["max_tokens"],
        n=body.get("n") or 1,
        stop=[stop] if isinstance(stop, str) else stop,
    )


def prompt_of(given: str | list[int]) -> Prompt:
    """Return the prompt that a text or some token ids make; raise Refused for ids that no token has."""
    if isinstance(given, str):
        return Prompt(pieces_of(given), given)
    pieces = []
    for number in given:
        word = word_of(number)
        if word is None:
            raise Refused(f"Token id {number} is out of vocabulary")
        pieces.append(word)
    return Prompt(pieces, "".join(pieces))


def whole(reply: Reply) -> dict[str, Any]:
    """Return the answer of a request that does not stream."""
    return {
        "id": "cmpl-" + reply.number,
        "object": "text_completion",
        "created": reply.created,
        "model": reply.model,
        "choices": [_choice(choice, reply.body) for choice in reply.choices],
        "service_tier": None,
        "system_fingerprint": FINGERPRINT,
        "usage": reply.usage,
        "kv_transfer_params": None,
        "ec_transfer_params": None,
        "metrics": None,
    }


def _choice(choice: Choice, body: dict[str, Any]) -> dict[str, Any]:
    wants_ids = body.get("return_token_ids")
    before = [Token("prompt", piece) for piece in choice.prompt.pieces] if body.get("echo") else []
    text = "".join(token.piece for token in before if not wants_ids)
    return {
        "index": choice.index,
        "text": text + "".join(token.piece for token in choice.tokens if token.field),
        "logprobs": _logprobs([*before, *choice.tokens], 0, body),
        "finish_reason": choice.finish,
        "stop_reason": choice.stop_reason,
        "token_ids": [token.id for token in choice.tokens] if wants_ids else None,
        "prompt_logprobs": None,
        "prompt_token_ids": choice.prompt.ids if wants_ids else None,
        "routed_experts": None,
    }


def frames(reply: Reply) -> list[bytes]:
    """Return the events of a stream, `[DONE]` included."""
    return [*map(frame_of, _chunks(reply)), b"data: [DONE]\n\n"]


def _chunks(reply: Reply) -> Iterator[dict[str, Any]]:
    body = reply.body
    with_usage = (body.get("stream_options") or {}).get("include_usage")
    wants_ids = body.get("return_token_ids")
    head = {"id": "cmpl-" + reply.number, "object": "text_completion", "created": reply.created, "model": reply.model}
    begun: set[int] = set()
    offsets: dict[int, int] = {}
    for choice, token, is_last in reply.by_step():
        is_first = choice.index not in begun
        begun.add(choice.index)
        tokens = [token]
        if is_first and body.get("echo"):
            tokens = [*(Token("prompt", piece) for piece in choice.prompt.pieces), token]
        offset = offsets.get(choice.index, 0)
        offsets[choice.index] = offset + sum(len(shown(one, body)) for one in tokens)
        made = {
            "index": choice.index,
            "text": "".join(one.piece for one in tokens if one.field),
            "logprobs": _logprobs(tokens, offset, body),
            "finish_reason": choice.finish if is_last else None,
            "stop_reason": choice.stop_reason if is_last else None,
            # An echo brings the ids of the prompt, asked for or not.
            "prompt_token_ids": choice.prompt.ids if is_first and (wants_ids or body.get("echo")) else None,
            "token_ids": [token.id] if wants_ids else None,
        }
        chunk = {**head, "choices": [made]}
        yield chunk if with_usage or not is_last else {**chunk, "system_fingerprint": FINGERPRINT}
    if with_usage:
        usage = without_nulls(reply.usage) if reply.usage else reply.usage
        yield {**head, "choices": [], "usage": usage, "system_fingerprint": FINGERPRINT}


def _logprobs(tokens: list[Token], offset: int, body: dict[str, Any]) -> dict[str, Any] | None:
    if body.get("logprobs") is None:
        return None
    names = [shown(token, body) for token in tokens]
    # Nothing comes before the first token of a prompt, so it has no probability.
    unknown = [index == 0 and token.field == "prompt" for index, token in enumerate(tokens)]
    others = {shown(Token("", f" other{number}"), body): LOGPROB - number for number in range(1, body["logprobs"])}
    return {
        "text_offset": [offset + sum(map(len, names[:index])) for index in range(len(names))],
        "token_logprobs": [None if missing else LOGPROB for missing in unknown],
        "tokens": names,
        "top_logprobs": [
            None if missing else {name: LOGPROB, **others} for name, missing in zip(names, unknown, strict=True)
        ],
    }
