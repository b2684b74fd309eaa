"""How a vLLM refuses: vllm/entrypoints/serve/exception_handling."""

from typing import Any


class Refused(Exception):  # noqa: N818  (an answer, not a fault)
    """The engine's refusal. `malformed`: refused by the check of the body, which every API words the same way."""

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        status: int = 400,
        kind: str = "BadRequestError",
        malformed: bool = False,
    ) -> None:
        self.message = message
        self.param = param
        self.status = status
        self.kind = kind
        self.malformed = malformed

    def body(self) -> dict[str, Any]:
        """Return it as OpenAI's APIs say it."""
        error = {"message": self.message, "type": self.kind, "param": self.param, "code": self.status}
        return {"error": error}


def invalid(message: str, *, param: str) -> Refused:
    """Return the refusal of a value, in the words of VLLMValidationError."""
    return Refused(f"{message} (parameter={param})", param=param)


def malformed(kind: str, where: str, message: str, given: Any, **more: Any) -> Refused:
    """Return the refusal of a body that is not what the API takes, in the words of vLLM's validation handler."""
    shown = f"<{type(given).__name__} of {len(given)} items>" if isinstance(given, dict | list) else str(given)
    error = {"type": kind, "loc": where, "msg": message, "input": shown, **more}
    return Refused(f"1 validation error:\n  {error}", param=where, kind="Bad Request", malformed=True)


def check_fields(body: dict[str, Any], *, lists: tuple[str, ...] = (), required: tuple[str, ...] = ()) -> None:
    """Raise Refused if a required field is missing, or something else than a list stands where one must."""
    for name in (*lists, *required):
        if name not in body:
            raise malformed("missing", f"body.{name}", "Field required", body)
    for name in lists:
        if not isinstance(body[name], list):
            raise malformed("list_type", f"body.{name}", "Input should be a valid list", body[name])
