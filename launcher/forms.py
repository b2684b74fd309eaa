"""The form of an engine."""

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextInputWidget, UnfoldBooleanSwitchWidget

from launcher import checks
from launcher.command import ENV_VARS, KWARGS
from launcher.models import Engine

INTERPRETER = "ray_worker_py_executable"
READ = (KWARGS, ENV_VARS, INTERPRETER)

if TYPE_CHECKING:
    EngineModelForm = forms.ModelForm[Engine]
else:  # Django's forms take no type arguments at run time
    EngineModelForm = forms.ModelForm


class EngineForm(EngineModelForm):
    """An engine's settings, refused here if a launch would refuse them."""

    # Form fields that are not columns → the column that they write.
    columns: ClassVar[dict[str, str]] = {"new_token": "hf_token", "clear_token": "hf_token"}

    new_token = forms.CharField(
        label="HF token",
        required=False,
        max_length=500,
        help_text="For models that ask for one. Stored encrypted, never shown. Blank keeps what is stored.",
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
    )
    clear_token = forms.BooleanField(label="Remove the stored token", required=False, widget=UnfoldBooleanSwitchWidget)

    class Meta:
        model = Engine
        fields = (
            "name",
            "model",
            "profiles",
            "device",
            KWARGS,
            ENV_VARS,
            "hf_home",
            "ray_worker_py_executable",
            "debug",
            "show_vllm_engine_stats",
            "restart_policy",
            "max_restarts",
            "startup_timeout_seconds",
            "drain_seconds",
        )
        labels: ClassVar[dict[str, str]] = {
            KWARGS: "vLLM serve kwargs",
            ENV_VARS: "vLLM serve env vars",
            "hf_home": "HF home",
            "show_vllm_engine_stats": "Show vLLM engine stats",
            "startup_timeout_seconds": "Start-up timeout, seconds",
            "drain_seconds": "Drain, seconds",
        }

    def clean(self) -> dict[str, Any]:
        """Put every problem on the field that has it."""
        cleaned = super().clean() or self.cleaned_data
        # A field that is no JSON has its error already, and one that is only shown is what it was.
        given = {name for name in (KWARGS, ENV_VARS) if name in cleaned}
        values = {name: cleaned.get(name) if name in self.fields else getattr(self.instance, name) for name in READ}
        interpreter = Engine(ray_worker_py_executable=values.pop(INTERPRETER) or "").interpreter
        for problem in checks.problems(values[KWARGS], values[ENV_VARS], interpreter):
            if problem.field in given:
                self.add_error(problem.field, problem.message)
        if cleaned.get("clear_token") and cleaned.get("new_token"):
            self.add_error("clear_token", "Give a new token or remove the stored one, not both.")
        elif cleaned.get("clear_token") or cleaned.get("new_token"):
            self.instance.hf_token = cleaned.get("new_token", "")
        return cleaned


class PresetForm(forms.Form):
    """What the engine and the profile of a preset are to be called. Empty: as the preset, and as the engine."""

    preset = forms.CharField(widget=forms.HiddenInput)
    name = forms.CharField(
        label="Engine",
        required=False,
        max_length=63,
        help_text="Its endpoint and its logs are called the same.",
        widget=UnfoldAdminTextInputWidget,
    )
    profile = forms.CharField(
        label="Profile",
        required=False,
        max_length=200,
        help_text="What clients send as model. Empty: the engine's name.",
        widget=UnfoldAdminTextInputWidget,
    )
