"""Strict readers for environment variables: an unclear value stops the start with one line that says what to do.

Every variable that Roundhouse reads passes through one `Reader`, so `docs/settings.md` can be compared with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


class SettingError(Exception):
    """An environment variable holds a value that cannot be used; the message names it and the fix."""


@dataclass
class Reader:
    """Reads variables from one mapping and remembers each name with its default, for the documentation test."""

    environ: Mapping[str, str]
    seen: dict[str, str] = field(default_factory=dict)

    def _raw(self, name: str, default: str) -> str:
        self.seen[name] = default
        return self.environ.get(name, "").strip() or default

    def text(self, name: str, default: str = "") -> str:
        """Return the variable's text; an empty variable counts as absent."""
        return self._raw(name, default)

    def path(self, name: str, default: str) -> Path:
        """Return an absolute path; a relative one is taken from the working directory."""
        return Path(self._raw(name, default)).expanduser().resolve()

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return True for `true` or `1`, False for `false` or `0`.

        Raises:
            SettingError: for anything else ("yes", "on", …), rather than guessing.
        """
        raw = self._raw(name, "true" if default else "false").lower()
        if raw in {"true", "1"}:
            return True
        if raw in {"false", "0"}:
            return False
        raise SettingError(f"{name}={raw!r} is not clear: set it to true or false.")

    def number(self, name: str, default: float, *, low: float, high: float) -> float:
        """Return a number within `low` and `high`, both included.

        Raises:
            SettingError: if it is not a number or lies outside.
        """
        raw = self._raw(name, f"{default:g}")
        try:
            value = float(raw)
        except ValueError:
            raise SettingError(f"{name}={raw!r} is not a number: set it to one from {low:g} to {high:g}.") from None
        if not low <= value <= high:
            raise SettingError(f"{name}={raw} is out of range: set it to a number from {low:g} to {high:g}.")
        return value

    def whole(self, name: str, default: int, *, low: int, high: int) -> int:
        """Return a whole number within `low` and `high`, both included.

        Raises:
            SettingError: if it is not one.
        """
        value = self.number(name, default, low=low, high=high)
        if not value.is_integer():
            raise SettingError(f"{name}={value:g} is not a whole number: set it to one from {low} to {high}.")
        return int(value)

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        """Return one of the choices, in capitals.

        Raises:
            SettingError: for anything else.
        """
        raw = self._raw(name, default).upper()
        if raw not in choices:
            raise SettingError(f"{name}={raw} is not known: set it to one of {', '.join(choices)}.")
        return raw

    def words(self, name: str, default: str = "") -> list[str]:
        """Return the comma-separated words of the variable, without blanks."""
        return [word for part in self._raw(name, default).split(",") if (word := part.strip())]
