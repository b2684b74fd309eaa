"""Every error of the gateway knows its HTTP answer."""

from responses_api import errors


def all_errors(kind: type[errors.GatewayError] = errors.GatewayError) -> list[type[errors.GatewayError]]:
    return [kind, *(found for child in kind.__subclasses__() for found in all_errors(child))]


def test_the_tree_at_the_top_of_the_file_is_the_tree() -> None:
    drawn = [line.strip("│├└─ ").split()[0] for line in (errors.__doc__ or "").splitlines() if "Error" in line]
    assert sorted(drawn) == sorted({kind.__name__ for kind in all_errors()})


def test_an_error_has_the_four_fields_of_openai() -> None:
    error = errors.RequestError("No.", param="input[2].content[0].text")
    assert error.body() == {
        "error": {
            "message": "No.",
            "type": "invalid_request_error",
            "param": "input[2].content[0].text",
            "code": "invalid_value",
        }
    }
    assert error.status == 400


def test_an_unknown_model_names_those_there_are() -> None:
    body = errors.ModelNotFoundError("nope", ["a", "b/c"]).body()["error"]
    assert (body["code"], body["param"]) == ("model_not_found", "model")
    assert "nope" in body["message"]
    assert "a, b/c" in body["message"]
    assert "no model yet" in errors.ModelNotFoundError("nope", []).message


def test_errors_bring_the_headers_that_http_asks_for() -> None:
    assert errors.MethodNotAllowedError("GET", "/v1/responses", allowed="POST").headers() == [("Allow", "POST")]
    assert errors.ApiKeyError("No.").headers() == [("WWW-Authenticate", "Bearer")]
    assert errors.NoEngineError("No.").headers() == [("Retry-After", "5")]
    assert errors.EngineBusyError("No.", status=503).headers() == [("Retry-After", "5")]
    assert errors.EngineBusyError("No.", status=502).headers() == []


def test_an_engines_refusal_keeps_its_status() -> None:
    assert errors.EngineRefusalError("slow down", status=429).type == "rate_limit_error"
    refused = errors.EngineRefusalError("bad top_k", status=400, param="top_k")
    assert (refused.status, refused.type, refused.param) == (400, "invalid_request_error", "top_k")


def test_whoever_may_ask_again_is_told_when() -> None:
    """An engine's own 429 passes as it is."""
    for_now = [
        errors.ConnectError("away"),
        errors.EngineBusyError("full", status=503),
        errors.NoEngineError("none"),
        errors.BacklogError("much"),
        errors.BusyError("many"),
        errors.RateLimitError("more", seconds=3, headers=[]),
        errors.ShuttingDownError(),
        errors.UnavailableError("away"),
    ]
    assert {kind for kind in all_errors() if kind.status in {429, 503}} <= {type(error) for error in for_now}
    for error in for_now:
        assert error.status in {429, 503}
        assert int(dict(error.headers())["Retry-After"]) > 0
