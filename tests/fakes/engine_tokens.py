"""Tokenizing and embedding of a scripted engine: vllm/entrypoints/serve/tokenize and vllm/entrypoints/pooling/embed."""

import base64
import hashlib
import math
import struct
from typing import Any

from tests.fakes.engine_chat import prompt_of
from tests.fakes.engine_completions import prompt_of as text_prompt_of
from tests.fakes.engine_generation import Prompt, check_prompt, now
from tests.fakes.engine_refusals import Refused, check_fields, malformed
from tests.fakes.engine_words import pieces_of, word_of

DIMENSIONS = 8


def tokenize(body: dict[str, Any], max_model_len: int) -> dict[str, Any]:
    """Return the tokens of a text or of a conversation. However long, none is too long for this."""
    if "prompt" not in body and "messages" not in body:
        errors = [
            {"type": "missing", "loc": f"body.{name}", "msg": "Field required", "input": f"<dict of {len(body)} items>"}
            for name in ("prompt", "messages")
        ]
        message = "2 validation errors:\n  {}\n  {}".format(*errors)
        raise Refused(message, param="body.prompt", kind="Bad Request", malformed=True)
    prompt = prompt_of(body["messages"]) if "messages" in body else Prompt(pieces_of(body["prompt"]), "")
    strings = prompt.pieces if body.get("return_token_strs") else None
    counted = {"count": len(prompt.pieces), "max_model_len": max_model_len}
    return {**counted, "tokens": prompt.ids, "token_strs": strings}


def detokenize(body: dict[str, Any]) -> dict[str, Any]:
    """Return the text of some tokens; those that nobody has written say nothing."""
    check_fields(body, lists=("tokens",))
    for index, number in enumerate(body["tokens"]):
        if number < 0:
            where = f"body.tokens.{index}"
            raise malformed(
                "greater_than_equal", where, "Input should be greater than or equal to 0", number, ctx={"ge": 0}
            )
    return {"prompt": "".join(word_of(number) or "" for number in body["tokens"])}


def embed(body: dict[str, Any], *, model: str, number: str, max_model_len: int) -> dict[str, Any]:
    """Return a vector of length one for each input: equal texts have equal vectors."""
    check_fields(body, required=("input",))
    size = body.get("dimensions") or DIMENSIONS
    if not 1 <= size <= DIMENSIONS:
        raise Refused(f"Model {model!r} only supports dimensions in range [1, {DIMENSIONS}], got {size}.")
    given = body["input"]
    if isinstance(given, str) or (given and isinstance(given[0], int)):
        given = [given]
    prompts = [text_prompt_of(one) for one in given]
    for prompt in prompts:
        check_prompt(prompt, max_model_len)
    as_text = body.get("encoding_format") == "base64"
    count = sum(len(prompt.pieces) for prompt in prompts)
    data = [
        {"index": index, "object": "embedding", "embedding": _encoded(_vector(prompt.last, size), as_text=as_text)}
        for index, prompt in enumerate(prompts)
    ]
    usage = {"prompt_tokens": count, "total_tokens": count, "completion_tokens": 0}
    nulls = {"prompt_tokens_details": None, "completion_tokens_details": None}
    head = {"id": "embd-" + number, "object": "list", "created": now(), "model": model}
    return {**head, "data": data, "usage": {**usage, **nulls}}


def _vector(text: str, size: int) -> list[float]:
    numbers = [byte - 127.5 for byte in hashlib.sha256(text.encode()).digest()[:size]]
    length = math.sqrt(sum(number * number for number in numbers))
    return [number / length for number in numbers]


def _encoded(vector: list[float], *, as_text: bool) -> list[float] | str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode() if as_text else vector
