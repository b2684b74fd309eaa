"""Everything that can go wrong on /v1/*, as the caller sees it. Pure.

GatewayError
├── RequestError                 the caller's mistake; `param` names where
│   ├── UnsupportedError         understood, and not served
│   ├── ContextLengthError       too long for the engine
│   ├── ModelNotFoundError
│   ├── PathNotFoundError
│   ├── MethodNotAllowedError
│   └── BodyTooLargeError
├── ApiKeyError                  no key, or none of ours
├── ScopeError                   a key of ours that may not do this
├── EngineError                  what came, or did not come, from an engine
│   ├── RetryableError           no answer was given: another engine may be asked
│   │   ├── ConnectError         it was never reached
│   │   ├── BrokenOffError       the connection ended before the answer did
│   │   └── EngineBusyError      it answered 502, 503 or 504
│   ├── EngineTimeoutError       it took longer than the profile allows
│   ├── BadAnswerError           its answer makes no sense
│   └── EngineRefusalError       it refused the request; its words are kept
├── NoEngineError                there is none to ask
├── UnavailableError             a part of Roundhouse itself is away
└── InternalError                a bug; the log has the traceback
"""

from typing import Any, ClassVar

RETRY_SECONDS = 5


class GatewayError(Exception):
    """An error that knows its HTTP answer: status, and the four fields of OpenAI's error object."""

    status: int = 500
    kind: ClassVar[str] = "server_error"
    code: str | None = "server_error"
    retry_after: int | str | None = None  # seconds, or what an engine sent

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code or self.code

    @property
    def type(self) -> str:
        """OpenAI's `type`."""
        return self.kind

    def body(self) -> dict[str, Any]:
        """Return the body of the HTTP answer."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}

    def headers(self) -> list[tuple[str, str]]:
        """Return the headers that go with the answer."""
        return [("Retry-After", str(self.retry_after))] if self.retry_after else []


class RequestError(GatewayError):
    """The caller's mistake. `param` is written as `input[2].content[0].text`."""

    status = 400
    kind = "invalid_request_error"
    code = "invalid_value"


class UnsupportedError(RequestError):
    """A feature that is known and not served: refused by name, never ignored."""

    code = "unsupported_parameter"


class ContextLengthError(RequestError):
    """The request does not fit the engine's context. The code is the one that agents compact on."""

    code = "context_length_exceeded"


class ModelNotFoundError(RequestError):
    """No such profile, or none that this key may call."""

    status = 404
    code = "model_not_found"

    def __init__(self, model: str, known: list[str]) -> None:
        there = f"The models are: {', '.join(known)}." if known else "There is no model yet: add a config profile."
        super().__init__(f"The model '{model}' does not exist or you do not have access to it. {there}", param="model")


class PathNotFoundError(RequestError):
    """No such path below /v1."""

    status = 404
    code = "unknown_url"

    def __init__(self, method: str, path: str) -> None:
        super().__init__(f"Unknown request URL: {method} {path}.")


class MethodNotAllowedError(RequestError):
    """The path is there, for another method."""

    status = 405
    code = "method_not_allowed"

    def __init__(self, method: str, path: str, *, allowed: str) -> None:
        super().__init__(f"{path} is called with {allowed}, not with {method}.")
        self.allowed = allowed

    def headers(self) -> list[tuple[str, str]]:
        """Return the methods that are allowed, as RFC 9110 asks."""
        return [("Allow", self.allowed)]


class BodyTooLargeError(RequestError):
    """The body is longer than the gateway reads."""

    status = 413
    code = "request_too_large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"The request body is larger than {limit} bytes.")


class ApiKeyError(GatewayError):
    """No key, a wrong one, or one that is disabled or expired."""

    status = 401
    kind = "invalid_request_error"
    code = "invalid_api_key"

    def headers(self) -> list[tuple[str, str]]:
        """Return the challenge that a 401 carries."""
        return [("WWW-Authenticate", "Bearer")]


class ScopeError(GatewayError):
    """The key is good and may not call the gateway."""

    status = 403
    kind = "invalid_request_error"
    code = "insufficient_scope"


class EngineError(GatewayError):
    """What came, or did not come, from an engine."""

    status = 502
    kind = "upstream_error"
    code = "upstream_error"


class RetryableError(EngineError):
    """No answer was given, so another engine may be asked."""


class ConnectError(RetryableError):
    """The engine was never reached."""

    status = 503
    code = "engine_unavailable"
    retry_after = RETRY_SECONDS


class BrokenOffError(RetryableError):
    """The connection ended before the answer did."""


class EngineBusyError(RetryableError):
    """The engine, or a proxy before it, answered 502, 503 or 504; that status is kept."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message, code="engine_unavailable" if status == NoEngineError.status else None)
        self.status = status
        self.retry_after = RETRY_SECONDS if status == NoEngineError.status else None


class EngineTimeoutError(EngineError):
    """The engine took longer than the profile allows."""

    status = 504
    code = "engine_timeout"


class BadAnswerError(EngineError):
    """The engine's answer makes no sense."""


class EngineRefusalError(EngineError):
    """The engine refused the request: its status, message, param and code are kept."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        param: str | None = None,
        code: str | None = None,
        retry_after: str | None = None,
    ) -> None:
        super().__init__(message, param=param, code=code or "engine_refused")
        self.status = status
        self.retry_after = retry_after

    @property
    def type(self) -> str:
        """OpenAI's type for the status, which is what clients look at."""
        return "rate_limit_error" if self.status == 429 else "invalid_request_error"  # noqa: PLR2004


class NoEngineError(GatewayError):
    """No engine of the profile's pool can be asked."""

    status = 503
    kind = "upstream_error"
    code = "engine_unavailable"
    retry_after = RETRY_SECONDS


class UnavailableError(GatewayError):
    """A part of Roundhouse itself is away: its database does not answer, or its queue is full."""

    status = 503
    code = "service_unavailable"
    retry_after = RETRY_SECONDS


class InternalError(GatewayError):
    """A bug. The caller gets the request id, the log has the traceback."""

    def __init__(self, request_id: str) -> None:
        super().__init__(f"Something went wrong in Roundhouse. Its log tells more under the request id {request_id}.")
