"""What comes in is read strictly, and what is wrong with it is named."""

import pytest
from msgspec import UNSET

from responses_api import wire
from responses_api.errors import RequestError


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        (b"", None, "invalid_json"),
        (b"{", None, "invalid_json"),
        (b'{"model": "m", "input": "a"} x', None, "invalid_json"),
        (b'{"model": "m", "input": "\xff"}', None, "invalid_json"),
        (b'{"model": "m", "input": NaN}', None, "invalid_json"),
        (b'{"tool_choice": ' + b'{"a": ' * 100_000, None, "invalid_json"),
        (b"[]", None, "invalid_type"),
        (b'{"input": "a"}', "model", "missing_required_parameter"),
        (b'{"model": "m"}', "input", "missing_required_parameter"),
        (b'{"model": "m", "input": null}', "input", "missing_required_parameter"),
        (b'{"model": 1, "input": "a"}', "model", "invalid_type"),
        (b'{"model": "m", "input": 7}', "input", "invalid_type"),
        (b'{"model": "m", "input": ["a"]}', "input[0]", "invalid_type"),
        (b'{"model": "m", "input": "a", "temprature": 1}', "temprature", "unknown_parameter"),
        (b'{"model": "m", "input": "a", "temperature": "0.5"}', "temperature", "invalid_type"),
        (b'{"model": "m", "input": "a", "temperature": 1e999}', "temperature", "invalid_value"),
        (b'{"model": "m", "input": "a", "max_output_tokens": "16"}', "max_output_tokens", "invalid_type"),
        (b'{"model": "m", "input": "a", "max_output_tokens": 16.5}', "max_output_tokens", "invalid_type"),
        (b'{"model": "m", "input": "a", "stream": 1.0}', "stream", "invalid_type"),
        (b'{"model": "m", "input": "a", "stream": "yes"}', "stream", "invalid_type"),
        (b'{"model": "m", "input": "a", "truncation": "some"}', "truncation", "invalid_value"),
        (b'{"model": "m", "input": "a", "metadata": {"k": 1}}', "metadata", "invalid_type"),
        (b'{"model": "m", "input": "a", "reasoning": {"efort": "low"}}', "reasoning.efort", "unknown_parameter"),
        (b'{"model": "m", "input": "a", "reasoning": {"effort": "heroic"}}', "reasoning.effort", "invalid_value"),
        (b'{"model": "m", "input": "a", "text": {"verbosity": "loud"}}', "text.verbosity", "invalid_value"),
    ],
)
def test_a_bad_request_names_its_parameter(body: bytes, param: str | None, code: str) -> None:
    with pytest.raises(RequestError) as caught:
        wire.responses_request(body)
    assert (caught.value.param, caught.value.code, caught.value.status) == (param, code, 400)
    assert "msgspec" not in caught.value.message


@pytest.mark.parametrize("body", [b'{"": 1e310}', b'{"a": {"b": [1e310]}}'])
def test_a_number_that_is_none_is_refused_wherever_it_stands(body: bytes) -> None:
    with pytest.raises(RequestError) as caught:
        wire.json_object(body)
    assert (caught.value.code, caught.value.message) == (
        "invalid_json",
        "The request body cannot be read: Number out of range.",
    )


def test_an_explicit_null_is_told_from_an_absent_field() -> None:
    request = wire.responses_request(b'{"model": "m", "input": "a", "temperature": null}')
    assert request.temperature is None
    assert request.top_p is UNSET


def test_a_whole_number_may_be_written_with_a_point() -> None:
    request = wire.responses_request(
        b'{"model": "m", "input": "a", "max_output_tokens": 16.0, "seed": 5e1, "top_p": 1.0}'
    )
    assert (request.max_output_tokens, request.seed, request.top_p) == (16, 50, 1.0)
    assert isinstance(request.max_output_tokens, int)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error": {"message": "no", "type": "BadRequestError", "code": 400}}', "no"),
        (b'{"object": "error", "message": "no", "code": 400}', "no"),
        (b'{"error": "Unauthorized"}', "Unauthorized"),
        (b'{"detail": "Not Found"}', "Not Found"),
        (b'{"detail": [{"loc": ["body"]}]}', ""),
        (
            b'{"detail": [{"loc": ["body", "top_k", 0], "msg": "no number"}, {"loc": ["body"], "msg": "no"}, 1]}',
            "top_k.0: no number; no",
        ),
        (b"Internal Server Error\n", "Internal Server Error"),
        (b"<html>Bad Gateway</html>", ""),
        (b"Traceback (most recent call last):\n  File", ""),
        (b"x" * 301, ""),
        (b'{"error": {"message": "cut', ""),
        (b"", ""),
        (b"[]", ""),
        (b"\xff\xfe", ""),
    ],
)
def test_an_engines_error_is_read_in_every_usual_shape(body: bytes, message: str) -> None:
    assert wire.engine_error(body).message == message


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"error": {"message": "no", "code": 429}}', 429),
        (b' {"error": "no"}', 500),
        (b'{"object": "error", "message": "no", "code": 400}', 400),
        (b'{"type": "error", "error": {"type": "overloaded_error", "message": "no"}}', 500),
        (b'{"error": null, "choices": []}', None),
        (b'{"id": "x", "choices": [{"message": {"content": "{\\"error\\": \\"x\\"}"}}]}', None),
        (b"", None),
    ],
)
def test_an_error_may_come_as_a_good_answer(body: bytes, status: int | None) -> None:
    assert wire.status_of_error(body) == status


def test_an_engine_that_complains_of_a_field_names_it() -> None:
    body = b'{"detail": [{"loc": ["body", "top_k"], "msg": "no number", "type": "int_parsing"}]}'
    assert wire.engine_error(body).param == "top_k"
