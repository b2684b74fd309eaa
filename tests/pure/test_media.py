"""Addresses that an engine would fetch are found wherever an API has them."""

from typing import Any

import msgspec
import pytest

from responses_api.errors import RequestError
from responses_api.media import refuse_remote

INSIDE = "http://169.254.169.254/latest/meta-data"


def user(part: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "text", "text": "see"}, part]}]


@pytest.mark.parametrize(
    "body",
    [
        {"messages": user({"type": "image_url", "image_url": {"url": INSIDE}})},
        {"messages": user({"type": "video_url", "video_url": {"url": " HTTPS://example.com/a.mp4"}})},
        {"messages": user({"type": "audio_url", "audio_url": {"url": "file:///etc/passwd"}})},
        {"messages": user({"type": "image", "source": {"type": "url", "url": INSIDE}})},
        {"messages": user({"type": "tool_result", "content": [{"type": "image", "source": {"url": INSIDE}}]})},
        {"input": user({"type": "input_image", "image_url": INSIDE})},
        {"input": user({"type": "input_file", "file_url": INSIDE})},
        {"input": [{"type": "function_call_output", "output": [{"type": "input_image", "image_url": INSIDE}]}]},
    ],
)
def test_an_address_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match="data: URLs alone") as refused:
        refuse_remote(msgspec.json.encode(body))
    assert refused.value.code == "unsupported_media"


@pytest.mark.parametrize(
    "body",
    [
        {"messages": user({"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}})},
        {"messages": [{"role": "user", "content": f"what is {INSIDE}?"}]},
        {"messages": user({"type": "text", "text": INSIDE})},
        {"input": INSIDE, "tools": [{"type": "function", "parameters": {"url": INSIDE}}]},
        {"messages": [], "metadata": {"url": INSIDE}},
        {"prompt": [1, 2, 3]},
        {"input": user({"type": "output_text", "text": "", "annotations": [{"type": "url_citation", "url": INSIDE}]})},
    ],
)
def test_what_is_no_address_of_media_is_not(body: dict[str, Any]) -> None:
    refuse_remote(msgspec.json.encode(body))
