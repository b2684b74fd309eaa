"""Content parts: what may stand where, and what a chat completion has for it."""

import base64
from typing import Any

import pytest

from responses_api.errors import RequestError
from tests.pure.conversations import call, output, sent, text_parts


def image(url: str, detail: str = "auto") -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, "detail": detail}}


def coded(data: bytes) -> str:
    return base64.b64encode(data).decode()


WAV = {"data": "AAAA", "format": "wav"}
MEDIA: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"type": "input_image", "image_url": "https://x/y.png"}, image("https://x/y.png")),
    ({"type": "input_image", "image_url": {"url": "data:image/png;base64,AA"}}, image("data:image/png;base64,AA")),
    ({"type": "input_image", "image_url": "HTTP://x", "detail": "low"}, image("HTTP://x", "low")),
    ({"type": "image_url", "image_url": {"url": "https://x", "detail": "high"}}, image("https://x", "high")),
    ({"type": "input_audio", "input_audio": WAV}, {"type": "input_audio", "input_audio": WAV}),
    (
        {"type": "audio_url", "audio_url": {"url": "https://x/y.wav"}},
        {"type": "audio_url", "audio_url": {"url": "https://x/y.wav"}},
    ),
    ({"type": "input_video", "video_url": "https://x"}, {"type": "video_url", "video_url": {"url": "https://x"}}),
    ({"type": "input_video", "video": {"url": "https://x"}}, {"type": "video_url", "video_url": {"url": "https://x"}}),
    (
        {"type": "video_url", "video_url": {"url": "https://x"}},
        {"type": "video_url", "video_url": {"url": "https://x"}},
    ),
    ({"type": "input_file", "file_data": coded(b"a: 1")}, {"type": "text", "text": "a: 1"}),
    (
        {"type": "input_file", "filename": "n.txt", "file_data": f"data:text/plain;base64,{coded('é'.encode())}"},
        {"type": "text", "text": "n.txt:\n\né"},
    ),
    (
        {"type": "input_file", "file_data": f"data:text/csv;charset=utf-8;base64,{coded(b'x')}"},
        {"type": "text", "text": "x"},
    ),
    (
        {"type": "input_file", "file_data": "data:image/png;base64,AA"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}},
    ),
    ({"type": "text", "text": "a"}, {"type": "text", "text": "a"}),
    ({"type": "output_text", "text": "a"}, {"type": "text", "text": "a"}),
    ({"type": "refusal", "refusal": "a"}, {"type": "text", "text": "a"}),
]


@pytest.mark.parametrize(("part", "chat"), MEDIA)
def test_users_and_tools_may_show_what_an_engine_can_see(part: Any, chat: Any) -> None:
    before = {"type": "input_text", "text": "before"}
    parts = [*text_parts("before"), chat]
    assert sent(input=[{"role": "user", "content": [before, part]}])["messages"][0]["content"] == parts
    assert sent(input=[call("c1"), output("c1", [before, part])])["messages"][1]["content"] == parts


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"text": "a"}, "type", "missing_required_parameter"),
    ({"type": "hologram"}, "type", "invalid_value"),
    ({"type": "input_image", "file_id": "f"}, "file_id", "unsupported_parameter"),
    ({"type": "input_image"}, "image_url", "missing_required_parameter"),
    ({"type": "input_image", "image_url": "file:///etc/passwd"}, "image_url", "invalid_value"),
    ({"type": "input_image", "image_url": "/etc/passwd"}, "image_url", "invalid_value"),
    ({"type": "input_image", "image_url": "https://x", "detail": "some"}, "detail", "invalid_value"),
    ({"type": "audio_url", "audio_url": {"url": "file:///x.wav"}}, "audio_url", "invalid_value"),
    ({"type": "input_video"}, "video_url", "missing_required_parameter"),
    ({"type": "input_video", "video_url": "ftp://x"}, "video_url", "invalid_value"),
    ({"type": "input_audio"}, "input_audio", "missing_required_parameter"),
    ({"type": "input_file"}, "file_data", "missing_required_parameter"),
    ({"type": "input_file", "file_id": "f"}, "file_id", "unsupported_parameter"),
    ({"type": "input_file", "file_url": "https://x"}, "file_url", "unsupported_parameter"),
    ({"type": "input_file", "file_data": "no base64!"}, "file_data", "invalid_value"),
    ({"type": "input_file", "file_data": "é"}, "file_data", "invalid_value"),
    ({"type": "input_file", "file_data": "data:text/plain,hello"}, "file_data", "invalid_value"),
    ({"type": "input_file", "file_data": coded(b"%PDF-1.4 all of it ASCII")}, "file_data", "unsupported_parameter"),
    (
        {"type": "input_file", "file_data": f"data:application/pdf;base64,{coded(b'%PDF' + bytes([0, 255]))}"},
        "file_data",
        "unsupported_parameter",
    ),
]


@pytest.mark.parametrize(("part", "field", "code"), REFUSED)
def test_what_no_engine_can_see_is_refused_by_name(part: Any, field: str, code: str) -> None:
    with pytest.raises(RequestError) as caught:
        sent(input=[{"role": "user", "content": [part]}])
    assert (caught.value.param, caught.value.code) == (f"input[0].content[0].{field}", code)


def test_an_assistant_speaks_text_alone() -> None:
    with pytest.raises(RequestError) as caught:
        sent(input=[{"role": "assistant", "content": [{"type": "input_image", "image_url": "https://x"}]}])
    assert caught.value.param == "input[0].content[0].type"
