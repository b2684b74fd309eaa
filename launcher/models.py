"""The wish to run an engine, and the history of what became of it."""

import datetime as dt
import hashlib
import sys

from django.conf import settings
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models

from endpoints.models import ConfigProfile, Endpoint
from endpoints.secrets import SecretField
from endpoints.validators import validate_json_object
from launcher.states import Desired, State

engine_name_validator = RegexValidator(
    r"^[a-z0-9][a-z0-9-]*$", "Use small letters, digits and -, beginning with a letter or a digit."
)

DESIRED_CHOICES = [(desired.value, desired.value) for desired in Desired]
STATE_CHOICES = [(state.value, state.value) for state in State]


# What a process runs and sees on its node. Whoever writes these may run any program there, so it takes a permission.
PROCESS_FIELDS = ("ray_worker_py_executable", "hf_home", "vllm_serve_env_vars")
LAUNCH_PERMISSION = "launcher.launch_engine"


def default_serve_kwargs() -> dict[str, int]:
    """Return the arguments that every engine must set: one replica on one device."""
    return {"data_parallel_size": 1, "tensor_parallel_size": 1, "pipeline_parallel_size": 1}


def default_serve_env_vars() -> dict[str, str]:
    """Return the variables that every engine must set."""
    return {"VLLM_RAY_DP_PACK_STRATEGY": "strict"}


def installation() -> str:
    """Return eight digits that stand for this installation, on every host of it: jobs of two on one Ray differ by them.

    They follow from the secret key, which its hosts share, or could not read each other's engine keys.
    """
    return hashlib.sha256(f"installation {settings.SECRET_KEY}".encode()).hexdigest()[:8]


class Engine(models.Model):
    """The wish to run one vLLM. `desired_state` is the wish; `state` is what was seen, and is never edited."""

    class Device(models.TextChoices):
        """What the engine computes on."""

        AUTO = "auto", "auto: GPUs where the cluster has them, else CPU"
        CUDA = "cuda"
        CPU = "cpu"

    class RestartPolicy(models.TextChoices):
        """What follows a failure."""

        NEVER = "never"
        ON_FAILURE = "on_failure", "on failure, with growing pauses"

    name = models.CharField(max_length=63, unique=True, validators=[engine_name_validator])
    model = models.CharField(max_length=500, help_text="A Hugging Face model id, or a directory on the engine's node.")
    profiles = models.ManyToManyField(
        ConfigProfile,
        related_name="engines",
        blank=True,
        help_text="The profiles that this engine's endpoint joins when it is ready.",
    )
    vllm_serve_kwargs = models.JSONField(
        default=default_serve_kwargs,
        validators=[validate_json_object],
        help_text='Any argument of vLLM\'s server, with underscores: {"max_model_len": 16384, "enforce_eager": true}',
    )
    vllm_serve_env_vars = models.JSONField(
        default=default_serve_env_vars,
        validators=[validate_json_object],
        help_text="Environment variables of the engine's process.",
    )
    hf_home = models.CharField(
        max_length=500, blank=True, default="", help_text="Hugging Face cache. Empty: in the data directory."
    )
    hf_token = SecretField(
        blank=True,
        default="",
        help_text="A Hugging Face token for models that ask for one. Stored encrypted, never shown.",
    )
    ray_worker_py_executable = models.CharField(
        "interpreter",
        max_length=500,
        blank=True,
        default="",
        help_text="The Python that has vLLM, on the engine's node. Empty: Roundhouse's own.",
    )
    device = models.CharField(max_length=10, choices=Device, default=Device.AUTO)
    debug = models.BooleanField(default=False, help_text="vLLM logs at debug level.")
    show_vllm_engine_stats = models.BooleanField(
        default=False, help_text="vLLM writes throughput and cache use to its log every ten seconds."
    )
    restart_policy = models.CharField(max_length=12, choices=RestartPolicy, default=RestartPolicy.ON_FAILURE)
    max_restarts = models.PositiveIntegerField(default=5, help_text="Restarts in a row before it stays failed.")
    startup_timeout_seconds = models.PositiveIntegerField(
        default=1800,
        validators=[MinValueValidator(10)],
        help_text="If it is not ready by then, it has failed. Seconds.",
    )
    drain_seconds = models.PositiveIntegerField(
        default=5, help_text="How long running answers may go on after a stop was asked for. Seconds."
    )

    desired_state = models.CharField(max_length=10, choices=DESIRED_CHOICES, default=Desired.STOPPED, editable=False)
    desired_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="When the wish was last written."
    )
    state = models.CharField(max_length=10, choices=STATE_CHOICES, default=State.STOPPED, editable=False)
    state_reason = models.CharField(max_length=1000, blank=True, default="", editable=False)
    state_since = models.DateTimeField(auto_now_add=True, editable=False)
    phase = models.CharField(max_length=1000, blank=True, default="", editable=False)
    progress = models.JSONField(
        default=dict, blank=True, editable=False, help_text="How far the phase is, in numbers. Empty: there are none."
    )
    generation = models.PositiveIntegerField(default=0, editable=False, help_text="Counts launches.")
    failures = models.PositiveIntegerField(default=0, editable=False, help_text="Failed attempts in a row.")
    base_url = models.CharField(max_length=500, blank=True, default="", editable=False)
    api_key = SecretField(blank=True, default="", editable=False)
    ray_host = models.CharField(
        max_length=40,
        blank=True,
        default="",
        editable=False,
        help_text="The host whose own Ray has the launch. Empty: a cluster that all hosts have joined.",
    )
    launched = models.JSONField(
        default=dict, blank=True, editable=False, help_text="A digest of each setting that the last launch read."
    )
    restart_of = models.PositiveIntegerField(
        null=True, blank=True, editable=False, help_text="The launch that is to be replaced by another one."
    )
    delete_asked = models.BooleanField(default=False, editable=False, help_text="It is deleted once it is stopped.")
    placement = models.JSONField(
        default=dict, blank=True, editable=False, help_text="Which nodes each of its ranks takes. Empty on CPU."
    )
    log_tail = models.TextField(blank=True, default="", editable=False, help_text="The last lines of the last attempt.")
    endpoint = models.OneToOneField(
        Endpoint, null=True, blank=True, editable=False, on_delete=models.SET_NULL, related_name="engine"
    )

    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("name",)
        permissions = (("launch_engine", "Can choose what an engine's process runs and sees"),)
        constraints = [
            models.CheckConstraint(
                condition=models.Q(state__in=[state.value for state in State]), name="engine_state_is_known"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def submission_id(self) -> str:
        """The Ray job of the current generation. Ray refuses a second job of that id: a launch happens once."""
        return f"engine-{self.pk}-{self.generation}-{installation()}"

    @property
    def interpreter(self) -> str:
        """The Python that runs vLLM."""
        return self.ray_worker_py_executable or sys.executable

    @property
    def restart_asked(self) -> bool:
        """Whether the launch that there is, is to be replaced."""
        return self.restart_of == self.generation

    @property
    def startup_deadline(self) -> dt.datetime | None:
        """When a start that is under way will have failed; None if there is none."""
        if self.state != State.STARTING:
            return None
        return self.state_since + dt.timedelta(seconds=self.startup_timeout_seconds)

    @property
    def settled(self) -> bool:
        """Whether what is, is what is wanted, so that only a crash would bring work."""
        if self.desired_state == Desired.RUNNING:
            return self.state == State.READY and not self.restart_asked
        return self.state == State.STOPPED and not self.delete_asked


class EngineEvent(models.Model):
    """One transition of an engine. Rows are added, never changed."""

    engine = models.ForeignKey(Engine, on_delete=models.CASCADE, related_name="events")
    old = models.CharField(max_length=10, choices=STATE_CHOICES)
    new = models.CharField(max_length=10, choices=STATE_CHOICES)
    reason = models.CharField(max_length=1000, blank=True, default="")
    generation = models.PositiveIntegerField(default=0)
    log_tail = models.TextField(blank=True, default="")
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("-at", "-pk")
        indexes = [models.Index(fields=["engine", "-at"])]

    def __str__(self) -> str:
        return f"{self.engine_id}: {self.old} → {self.new}"
