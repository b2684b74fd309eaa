"""What a scripted engine generates, whatever the API through which it was asked."""

import re
import time
from collections.abc import Iterator
from typing import Any

import msgspec

from tests.fakes.engine_refusals import Refused
from tests.fakes.engine_script import Agent, Step
from tests.fakes.engine_words import END, id_of, ids_of, pieces_of

REASONING = ("reasoning", "reasoning_content")
FINGERPRINT = "vllm-0.32.0-scripted"
LOGPROB = -0.25


class Prompt(msgspec.Struct):
    """One prompt."""

    pieces: list[str]
    last: str  # what is echoed

    @property
    def ids(self) -> list[int]:
        """The numbers of its tokens."""
        return ids_of(self.pieces)


class Asked(msgspec.Struct):
    """What a request asks for, in any API."""

    prompts: list[Prompt]
    limit: int | None = None  # tokens
    limit_name: str = "max_tokens"
    n: int = 1
    stop: list[str] = []
    tools: list[str] = []  # names
    forced: str = ""  # the tool that must be called
    forced_by_name: bool = False
    result: str | None = None  # of a tool, after the assistant's last turn


class Token(msgspec.Struct):
    """One generated token; `field` is where it stands in a chat message, "" for the end token."""

    field: str
    piece: str
    call: int = 0  # which tool call it belongs to
    starts: bool = False  # it is the name of that call

    @property
    def id(self) -> int:
        """Its number."""
        return id_of(self.piece)


class Choice(msgspec.Struct):
    """One generated answer."""

    index: int
    prompt: Prompt
    message: dict[str, Any]
    tokens: list[Token]
    finish: str | None
    stop_reason: str | None = None

    def text(self, *fields: str) -> str:
        """Return what these fields of the message hold, joined."""
        return "".join(self.message.get(name) or "" for name in fields)

    @property
    def calls(self) -> list[dict[str, Any]]:
        """The tool calls of the message."""
        return self.message.get("tool_calls") or []


class Reply(msgspec.Struct):
    """A whole answer, before it has the shape of an API."""

    number: str  # of the request, 16 hexadecimal digits
    created: int
    model: str
    body: dict[str, Any]
    limit: int
    choices: list[Choice]
    usage: dict[str, Any] | None  # as chat completions report it
    status: int = 200

    @property
    def reported(self) -> dict[str, Any]:
        """The usage, zeros where there is none."""
        return {"prompt_tokens": 0, "completion_tokens": 0, **(self.usage or {})}

    def by_step(self) -> Iterator[tuple[Choice, Token, bool]]:
        """Yield the tokens as they are generated, all choices side by side; the flag is set at a choice's last one."""
        for number in range(max(len(choice.tokens) for choice in self.choices)):
            for choice in self.choices:
                if number < len(choice.tokens):
                    yield choice, choice.tokens[number], number == len(choice.tokens) - 1


def check_overflow(asked: Asked, max_model_len: int) -> None:
    """Raise Refused for what does not fit, in the words of vLLM 0.32 (renderers/params.py).

    What is asked for beyond the context is no reason: it is cut to what is left, and only nothing left is refused.
    """
    limit = asked.limit
    if limit is not None and limit > max_model_len:
        raise Refused(
            f"{asked.limit_name}={limit} cannot be greater than max_model_len={max_model_len}. Please request fewer "
            f"output tokens. (parameter={asked.limit_name}, value={limit})",
            param=asked.limit_name,
        )
    for prompt in asked.prompts:
        check_prompt(prompt, max_model_len)
        left = max_model_len - len(prompt.pieces)
        most = left if limit is None else min(limit, left)
        if most < 1:
            raise Refused(
                f"max_tokens must be at least 1, got {most}. (parameter=max_tokens, value={most})", param="max_tokens"
            )


def check_prompt(prompt: Prompt, max_model_len: int) -> None:
    """Raise Refused for a prompt that is longer than the context."""
    if (count := len(prompt.pieces)) > max_model_len:
        # The real tokenizer stops one token behind the limit, so the real one says "at least 2049" of any prompt.
        raise Refused(
            f"This model's maximum context length is {max_model_len} tokens. However, your prompt contains at least "
            f"{count} input tokens, which exceeds this limit even without any output tokens. Please reduce the length "
            f"of the input prompt. (parameter=input_tokens, value={count})",
            param="input_tokens",
        )


def generate(asked: Asked, step: Step, agent: Agent | None, *, number: str, max_model_len: int) -> list[Choice]:
    """Return what the engine says: `n` equal choices for each prompt."""
    check_overflow(asked, max_model_len)
    choices: list[Choice] = []
    for prompt in asked.prompts:
        left = max_model_len - len(prompt.pieces)
        limit = left if asked.limit is None else min(asked.limit, left)
        for _ in range(asked.n):
            index = len(choices)
            message, finish = _message(asked, prompt, step, agent, f"chatcmpl-tool-{number[2:]}{index:02x}")
            choice = Choice(index, prompt, message, [], finish)
            _stop(choice, asked.stop)
            _cut(choice, limit)
            if step.finish_reason is not msgspec.UNSET:
                choice.finish = step.finish_reason
            choices.append(choice)
    return choices


def _message(asked: Asked, prompt: Prompt, step: Step, agent: Agent | None, call: str) -> tuple[dict[str, Any], str]:
    message: dict[str, Any] = {"role": "assistant", "content": "echo: " + prompt.last, "refusal": None}
    message |= {"annotations": None, "audio": None, "function_call": None}
    if agent and agent.name in asked.tools:
        if asked.result is not None:
            message["content"] = "done: " + asked.result
        else:
            message |= _call(call, agent.name, agent.arguments)
    elif asked.forced:
        message |= _call(call, asked.forced, {})
    message |= {"reasoning": None} | (step.message or {})
    calls = bool(message.get("tool_calls")) and not asked.forced_by_name
    return message, "tool_calls" if calls else "stop"


def _call(call: str, name: str, arguments: Any) -> dict[str, Any]:
    text = arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode()
    return {
        "content": "",
        "tool_calls": [{"id": call, "type": "function", "function": {"name": name, "arguments": text}}],
    }


def _stop(choice: Choice, strings: list[str]) -> None:
    text = choice.message.get("content") or ""
    found = [(text.index(string), string) for string in strings if string and string in text]
    if found:
        at, choice.stop_reason = min(found)
        choice.message["content"] = text[:at]
        choice.finish = "stop"


def _cut(choice: Choice, limit: int) -> None:
    """Give the choice its tokens, so many at most. Tool calls are never cut."""
    message = choice.message
    said = [
        Token(name, piece)
        for name in (*REASONING, "content", "refusal")
        for piece in pieces_of(_str(message.get(name)))
    ]
    calls = [token for number, call in enumerate(choice.calls) for token in _call_tokens(number, call)]
    end = [Token("", choice.stop_reason or END)]  # what ends an answer is not part of it
    if len(said) + len(calls) + len(end) > limit:
        choice.finish, choice.stop_reason, end = "length", None, []
        said = said[: max(0, limit - len(calls))]
        for name in (*REASONING, "content", "refusal"):
            if message.get(name):
                message[name] = "".join(token.piece for token in said if token.field == name)
    choice.tokens = [*said, *calls, *end]


def _call_tokens(number: int, call: dict[str, Any]) -> Iterator[Token]:
    function = call["function"]
    yield Token("tool_calls", function["name"], number, starts=True)
    for piece in re.findall(r".{1,4}", _str(function["arguments"]), flags=re.DOTALL):
        yield Token("tool_calls", piece, number)


def _str(text: Any) -> str:
    return text if isinstance(text, str) else ""


def usage_of(choices: list[Choice], step: Step, prompts: list[Prompt], *, details: bool) -> dict[str, Any] | None:
    """Return the usage of an answer as OpenAI's APIs report it; `details`: as chat completions do."""
    if step.usage is not msgspec.UNSET:
        return step.usage
    prompt = sum(len(one.pieces) for one in prompts)
    generated = sum(len(choice.tokens) for choice in choices)
    reasoning = sum(1 for choice in choices for token in choice.tokens if token.field in REASONING)
    return {
        "prompt_tokens": prompt,
        "total_tokens": prompt + generated,
        "completion_tokens": generated,
        "prompt_tokens_details": None,
        "completion_tokens_details": {"reasoning_tokens": reasoning} if details else None,
    }


def without_nulls(fields: dict[str, Any]) -> dict[str, Any]:
    """Return what is not null."""
    return {name: value for name, value in fields.items() if value is not None}


def shown(token: Token, body: dict[str, Any]) -> str:
    """Return a token as logprobs name it."""
    return f"token_id:{token.id}" if body.get("return_tokens_as_token_ids") else token.piece


def now() -> int:
    """Return the time in whole seconds."""
    return int(time.time())


def raw_of(body: Any) -> bytes:
    """Return a body: bytes and text as they are, anything else as JSON."""
    if isinstance(body, bytes):
        return body
    return body.encode() if isinstance(body, str) else msgspec.json.encode(body)


def frame_of(event: Any) -> bytes:
    """Return a stream's event: bytes and text as they are, anything else as JSON."""
    return raw_of(event) if isinstance(event, bytes | str) else b"data: %b\n\n" % msgspec.json.encode(event)


def named_frame(event: Any) -> bytes:
    """Return an event with its type as its name, text as it is."""
    if isinstance(event, str):
        return event.encode()
    return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), msgspec.json.encode(event))
