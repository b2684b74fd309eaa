"""The form of an engine."""

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms

from launcher.command import ENV_VARS, KWARGS, check_config
from launcher.models import Engine

if TYPE_CHECKING:
    EngineModelForm = forms.ModelForm[Engine]
else:  # Django's forms take no type arguments at run time
    EngineModelForm = forms.ModelForm


class EngineForm(EngineModelForm):
    """An engine's settings, refused here if a launch would refuse them."""

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
        # A field that is no JSON has its error already; the other one is looked at all the same.
        given = {name for name in (KWARGS, ENV_VARS) if name in cleaned}
        for problem in check_config(cleaned.get(KWARGS), cleaned.get(ENV_VARS)):
            if problem.field in given:
                self.add_error(problem.field, problem.message)
        return cleaned
