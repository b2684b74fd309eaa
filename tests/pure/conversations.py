"""Requests in short, and what engines are sent for them."""

from typing import Any

import msgspec

from responses_api.convert.profile import ProfileSettings
from responses_api.convert.responses_exchange import ResponsesExchange

PLAIN = ProfileSettings(name="p", engine_model="engine-model")
INLINE = ProfileSettings(name="p", engine_model="engine-model", uses_reasoning_parser=False)
SYSTEM = ProfileSettings(name="p", engine_model="engine-model", replace_developer_role_with_system=True)

HI = {"role": "user", "content": "hi"}


def sent(settings: ProfileSettings = PLAIN, **request: Any) -> dict[str, Any]:
    body = msgspec.json.encode({"model": "p", "input": [HI], **request})
    exchange = ResponsesExchange(body)
    exchange.use(settings)
    decoded: dict[str, Any] = msgspec.json.decode(exchange.engine_body())
    return decoded


def rs(*texts: str) -> dict[str, Any]:
    return {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": text} for text in texts]}


def said(*texts: str) -> dict[str, Any]:
    parts = [{"type": "output_text", "text": text, "annotations": []} for text in texts]
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": parts}


def call(call_id: str, name: str = "f", arguments: str = "{}") -> dict[str, Any]:
    return {"type": "function_call", "id": "fc_1", "call_id": call_id, "name": name, "arguments": arguments}


def output(call_id: str, text: Any = "out") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": text}


def chat_call(call_id: str, name: str = "f", arguments: str = "{}") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def assistant(content: str | None, reasoning: str = "", **more: Any) -> dict[str, Any]:
    thoughts = {"reasoning_content": reasoning, "reasoning": reasoning} if reasoning else {}
    return {"role": "assistant", "content": content, **thoughts, **more}


def text_parts(*texts: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": text} for text in texts]


def tool(call_id: str, content: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}
