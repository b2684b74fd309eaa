"""Form fields that every app's admin uses, and the form of an endpoint."""

import json
from json import JSONDecodeError
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextareaWidget, UnfoldBooleanSwitchWidget

from endpoints.models import Endpoint
from endpoints.validators import validate_bearer


class IndentedEncoder(json.JSONEncoder):
    """Writes JSON as people read it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "indent": 2})


class StrictDecoder(json.JSONDecoder):
    """Reads JSON alone: Python would take NaN, which no database does, and the last of two equal keys."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "parse_constant": self._constant, "object_pairs_hook": self._pairs})

    def decode(self, s: str, *rest: Any) -> Any:
        """Return the value.

        Raises:
            JSONDecodeError: for all that is wrong; brackets without end are, too.
        """
        try:
            found = super().decode(s, *rest)
            json.dumps(found, ensure_ascii=False).encode()
        except RecursionError:
            raise JSONDecodeError("it is nested too deeply", s, 0) from None
        except UnicodeEncodeError:
            raise JSONDecodeError("half of a surrogate pair is no character", s, 0) from None
        return found

    @staticmethod
    def _constant(name: str) -> float:
        raise JSONDecodeError(f"{name} is no JSON", "", 0)

    @staticmethod
    def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise JSONDecodeError("a key stands twice", "", 0)
        return found


class JSONObjectField(forms.JSONField):
    """JSON in a monospaced box, indented, with the place of a mistake in the error. Blank is an empty object."""

    widget = UnfoldAdminTextareaWidget(attrs={"class": "rh-mono", "rows": 8, "spellcheck": "false"})
    # An empty object is a value: whether it will do is said by whoever reads it.
    empty_values = (None, "")

    def __init__(self, **options: Any) -> None:
        # A default that is computed makes Django post the old value along; the row's own is the one to compare with.
        fixed = {"encoder": IndentedEncoder, "decoder": StrictDecoder, "show_hidden_initial": False}
        super().__init__(**{**options, **fixed})

    def to_python(self, value: Any) -> Any:
        """Return the parsed JSON.

        Raises:
            ValidationError: naming the line and column where it stops being JSON.
        """
        text = value.strip() if isinstance(value, str) else value
        if text in self.empty_values:
            return None if self.required else {}
        if isinstance(text, str) and not self.disabled:
            try:
                json.loads(value, cls=StrictDecoder)
            except JSONDecodeError as error:
                place = f" (line {error.lineno}, column {error.colno})" if error.pos else ""
                raise ValidationError(f"This is not valid JSON: {error.msg}{place}.", code="invalid") from None
        return super().to_python(value)


if TYPE_CHECKING:
    EndpointModelForm = forms.ModelForm[Endpoint]
else:  # Django's forms take no type arguments at run time
    EndpointModelForm = forms.ModelForm


class EndpointForm(EndpointModelForm):
    """An endpoint. The stored key is never shown; what is typed replaces it."""

    # Form fields that are not columns → the column that they write.
    columns: ClassVar[dict[str, str]] = {"new_key": "api_key", "clear_key": "api_key"}

    new_key = forms.CharField(
        label="API key",
        required=False,
        max_length=5000,
        validators=[validate_bearer],
        help_text="Sent to the engine as a bearer token, stored encrypted, never shown. Blank keeps what is stored.",
        # A browser would offer the admin's own password here.
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
    )
    clear_key = forms.BooleanField(label="Remove the stored key", required=False, widget=UnfoldBooleanSwitchWidget)

    class Meta:
        model = Endpoint
        fields = ("name", "base_url", "enabled", "draining", "paused", "weight", "max_concurrent", "max_queued")
        labels: ClassVar[dict[str, str]] = {"base_url": "Base URL"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if hasattr(self.instance, "engine"):
            # Fields declared here stay in the form though no fieldset shows them.
            for name in self.columns:
                self.fields.pop(name)

    def clean(self) -> dict[str, Any]:
        """Put the new key, or none, on the endpoint."""
        cleaned = super().clean() or self.cleaned_data
        if cleaned.get("clear_key") and cleaned.get("new_key"):
            self.add_error("clear_key", "Give a new key or remove the stored one, not both.")
        elif cleaned.get("clear_key"):
            self.instance.api_key = ""
        elif cleaned.get("new_key"):
            self.instance.api_key = cleaned["new_key"]
        return cleaned
