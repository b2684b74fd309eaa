"""Everything that can go wrong on /v1/*, as the caller sees it. Pure.

GatewayError
├── RequestError                 the caller's mistake; `param` names where
│   ├── UnsupportedError         understood, and not served
│   ├── ContextLengthError       too long for the engine
│   ├── ModelNotFoundError
│   ├── PreviousResponseNotFoundError
│   ├── ItemNotFoundError
│   ├── NotStoredError           no such response or conversation, or not the caller's
│   ├── PathNotFoundError
│   ├── MethodNotAllowedError
│   ├── BodyTooLargeError
│   ├── EncodedBodyError         compressed, which is not undone here
│   └── ConnectionLimitError     a WebSocket's time is over
├── ApiKeyError                  no key, or none of ours
├── ScopeError                   a key of ours that may not do this
├── EngineError                  what came, or did not come, from an engine
│   ├── RetryableError           no answer was given: another engine may be asked
│   │   ├── ConnectError         it was never reached
│   │   ├── BrokenOffError       the connection ended before the answer did
│   │   ├── SilentError          it took the request and did not begin to answer in time
│   │   └── EngineBusyError      it answered 502, 503 or 504
│   ├── EngineTimeoutError       it took longer than the profile allows
│   ├── BadAnswerError           its answer makes no sense
│   ├── ToldError                its stream ended in an error of its own; its words are kept
│   └── EngineRefusalError       it refused the request; its words are kept
│       └── UnservedError        it has no such API
├── NoEngineError                there is none to ask
├── BacklogError                 too much waits to be done in the background
├── BusyError                    too many wait for the endpoint
├── RateLimitError               the key has used up what it may
├── ShuttingDownError            this process ends
├── UnavailableError             a part of Roundhouse itself is away
└── InternalError                a bug; the log has the traceback
"""

import math
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


class PreviousResponseNotFoundError(RequestError):
    """The response that the request continues is not there, or is not the caller's."""

    status = 404
    code = "previous_response_not_found"

    def __init__(self, response_id: object) -> None:
        super().__init__(f"Previous response with id '{response_id}' not found.", param="previous_response_id")


class ItemNotFoundError(RequestError):
    """No item with this id is stored for the caller."""

    status = 404
    code = "item_not_found"

    def __init__(self, item_id: str, *, param: str) -> None:
        super().__init__(
            f"Item with id '{item_id}' not found. Items are not persisted when `store` is set to false.", param=param
        )


class NotStoredError(RequestError):
    """Nothing of this kind ("Response", "Conversation") is stored for the caller under the id."""

    status = 404
    code = "not_found"

    def __init__(self, kind: str, stored_id: str, *, param: str | None = None) -> None:
        super().__init__(f"{kind} with id '{stored_id}' not found.", param=param)


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


class EncodedBodyError(RequestError):
    """The body is compressed. Undoing that would let small requests become large ones."""

    status = 415
    code = "unsupported_content_encoding"

    def __init__(self, encoding: str) -> None:
        super().__init__(f"The request body has the content encoding '{encoding}': send it as it is.")

    def headers(self) -> list[tuple[str, str]]:
        """Return what is read here, as RFC 9110 asks."""
        return [("Accept-Encoding", "identity")]


class ConnectionLimitError(RequestError):
    """The WebSocket has been open for as long as one may be."""

    code = "websocket_connection_limit_reached"

    def __init__(self, seconds: float) -> None:
        super().__init__(f"A connection lives for {seconds / 60:g} minutes: open a new one to go on.")


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

    def __init__(self, message: str, *, status: int, told_seconds: float | None = None) -> None:
        """`told_seconds`: after how long the engine wants to be asked again."""
        super().__init__(message, code="engine_unavailable" if status == NoEngineError.status else None)
        self.status = status
        self.told_seconds = told_seconds
        if status == NoEngineError.status:
            self.retry_after = RETRY_SECONDS if told_seconds is None else math.ceil(told_seconds)


class SilentError(RetryableError):
    """The engine did not begin its answer within the time that the profile gives it."""

    status = 504
    code = "engine_timeout"


class EngineTimeoutError(EngineError):
    """The engine took longer than the profile allows."""

    status = 504
    code = "engine_timeout"


class BadAnswerError(EngineError):
    """The engine's answer makes no sense."""


class ToldError(EngineError):
    """The engine ended its stream with an error of its own. `told_status` is the HTTP status that goes with it; 500 if
    it names none.
    """

    def __init__(self, message: str, *, told_status: int | None = None) -> None:
        super().__init__(message, code=TOLD_CODES.get(told_status or 0))
        self.told_status = told_status or 500


TOLD_CODES = {400: "engine_refused", 422: "engine_refused", 429: "rate_limit_exceeded"}


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


class UnservedError(EngineRefusalError):
    """The engine has no such API: a version too old for it, or a model of another kind."""

    def __init__(self, model: str, path: str) -> None:
        where = path if path.startswith("/") else f"/v1/{path}"
        super().__init__(f"The engine of the model '{model}' does not serve {where}.", status=404, code="not_served")


class NoEngineError(GatewayError):
    """No engine of the profile's pool can be asked."""

    status = 503
    kind = "upstream_error"
    code = "engine_unavailable"
    retry_after = RETRY_SECONDS


class BacklogError(GatewayError):
    """So much waits to be done in the background that no more is taken."""

    status = 429
    kind = "rate_limit_error"
    code = "rate_limit_exceeded"
    retry_after = RETRY_SECONDS


class BusyError(GatewayError):
    """So many wait for the endpoint that no more may."""

    status = 429
    kind = "rate_limit_error"
    code = "rate_limit_exceeded"
    retry_after = RETRY_SECONDS


class RateLimitError(GatewayError):
    """The key has used up what it may for now."""

    status = 429
    kind = "rate_limit_error"
    code = "rate_limit_exceeded"

    def __init__(self, message: str, *, seconds: int, headers: list[tuple[str, str]]) -> None:
        """`headers` say what is left of the limit, `seconds` when to come back."""
        super().__init__(message)
        self.retry_after = seconds
        self._left = headers

    def headers(self) -> list[tuple[str, str]]:
        """Return when to come back, and what is left."""
        return super().headers() + self._left


class ShuttingDownError(GatewayError):
    """This process ends: it takes no more requests, and ends those whose time is over."""

    status = 503
    code = "shutting_down"
    retry_after = RETRY_SECONDS

    def __init__(self) -> None:
        super().__init__("This Roundhouse process is shutting down: ask again.")


class UnavailableError(GatewayError):
    """A part of Roundhouse itself is away: its database does not answer, or its queue is full."""

    status = 503
    code = "service_unavailable"
    retry_after = RETRY_SECONDS


class InternalError(GatewayError):
    """A bug. The caller gets the request id, the log has the traceback."""

    def __init__(self, request_id: str) -> None:
        super().__init__(f"Something went wrong in Roundhouse. Its log tells more under the request id {request_id}.")
