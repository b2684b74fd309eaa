"""What clients call a model, and how their requests to it are treated."""

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from endpoints import profile_rules
from endpoints.models.endpoint import Endpoint
from endpoints.validators import (
    name_validator,
    validate_audio_root,
    validate_finite,
    validate_headers,
    validate_json_object,
    validate_think_tag,
)


class ConfigProfile(models.Model):
    """A served model name and its request-time settings. Clients choose it by `model`."""

    class ContextOverflow(models.TextChoices):
        """What a prompt that is too long for the engine becomes."""

        EMPTY = "empty", "An empty answer (rollouts go on)"
        ERROR = "error", "A 400 error (agents can compact)"

    class ReasoningShownAs(models.TextChoices):
        """Where reasoning items hold the thoughts."""

        SUMMARY = "summary", "Summary"
        CONTENT = "content", "Content"
        BOTH = "both", "Both"

    class UnrunnableTools(models.TextChoices):
        """What becomes of tools that no engine runs."""

        ADAPT = "adapt", "Custom ones become functions, others are left out"
        DROP = "drop", "All are left out"
        REFUSE = "refuse", "The request is refused"

    class Balancing(models.TextChoices):
        """Which endpoint of the pool a new session is bound to."""

        ROUND_ROBIN = "round_robin", "In turn"
        LEAST_LOADED = "least_loaded", "The one with the fewest requests"
        SESSION_HASH = "session_hash", "By the session's key"

    name = models.CharField(
        max_length=200, unique=True, validators=[name_validator], help_text="What clients send as model."
    )
    description = models.CharField(max_length=500, blank=True, default="")
    upstream_model = models.CharField(
        max_length=500,
        blank=True,
        default="",
        help_text="The model name that the engine knows. Empty: the same as the name above.",
    )
    endpoints = models.ManyToManyField(
        Endpoint, related_name="profiles", blank=True, help_text="The pool that sessions are spread over."
    )
    balancing = models.CharField(
        max_length=12,
        choices=Balancing,
        default=Balancing.ROUND_ROBIN,
        help_text="How new sessions are spread: exactly in turn; to the endpoint whose engine runs and queues the "
        "fewest requests; or by the session's key, so that a new endpoint takes over no more than its share of keys.",
    )
    enabled = models.BooleanField(default=True)

    is_responses_native = models.BooleanField(
        "engine speaks Responses",
        default=False,
        help_text="The engine's own /v1/responses is asked, with the caller's items as they are. Requests to "
        "/v1/chat/completions still go to its chat completions.",
    )
    use_completions_api = models.BooleanField(
        "use the completions API",
        default=False,
        help_text="For base models: one user message, with or without a system message, goes to /v1/completions as "
        "plain text.",
    )
    render_chat_template = models.BooleanField(
        default=False,
        help_text="With the completions API: the engine's chat template renders the whole conversation, tools "
        "included, and its tokens go to /v1/completions.",
    )

    uses_reasoning_parser = models.BooleanField(
        default=True,
        help_text="On: text between the think tags and the engine's reasoning field become reasoning items, and go "
        "back to the engine as reasoning. Off: the text is passed through as it is.",
    )
    think_start_tag = models.CharField(
        max_length=50, default="<think>", validators=[validate_think_tag], help_text="What opens a thought in text."
    )
    think_end_tag = models.CharField(
        max_length=50, default="</think>", validators=[validate_think_tag], help_text="What closes it."
    )
    begins_in_thought = models.BooleanField(
        default=False,
        help_text="On: the model's chat template opens the thought itself (DeepSeek R1, Qwen3 Thinking), so that an "
        "answer begins inside one and has the closing tag alone. For engines without a reasoning parser of their own.",
    )
    uses_interleaved_reasoning = models.BooleanField(
        default=True, help_text="Off: the reasoning of earlier turns is not sent back to the engine."
    )
    preserve_reasoning_in_assistant_content = models.BooleanField(
        default=False,
        help_text="On: the reasoning of earlier turns goes back inside the assistant's text, between the think tags, "
        "in place of the reasoning field.",
    )
    sequential_reasoning_allowed = models.BooleanField(
        default=True,
        help_text="Off: a conversation that ends with reasoning alone is answered with an empty answer "
        "(content_filter) without asking the engine, so that a loop of thinking ends.",
    )
    reasoning_shown_as = models.CharField(
        max_length=10,
        choices=ReasoningShownAs,
        default=ReasoningShownAs.SUMMARY,
        help_text="Where reasoning items hold the thoughts. Every client reads the summary; the content's stream "
        "events are OpenAI's own and outside the Open Responses contract.",
    )

    replace_developer_role_with_system = models.BooleanField(
        default=False, help_text="For chat templates that know no developer role."
    )
    unrunnable_tools = models.CharField(
        max_length=10,
        choices=UnrunnableTools,
        default=UnrunnableTools.ADAPT,
        help_text="What becomes of tools that no engine runs: web_search, file_search, custom ones with a grammar and "
        "others. The header X-Roundhouse-Dropped-Tools names those that were left out.",
    )
    context_overflow = models.CharField(
        max_length=10,
        choices=ContextOverflow,
        default=ContextOverflow.EMPTY,
        help_text="What becomes of a prompt that does not fit the engine.",
    )
    length_is_completed = models.BooleanField(
        default=False,
        help_text="On: an answer that was cut off at its token limit is reported as completed, for clients that give "
        "up on incomplete ones (Codex, OpenAI's Agents SDK).",
    )
    return_token_id_information = models.BooleanField(
        "return token ids",
        default=False,
        help_text="For training: the last output item carries prompt_token_ids, generation_token_ids and "
        "generation_log_probs.",
    )
    request_prompt_and_generation_token_ids = models.BooleanField(
        "ask the engine for token ids",
        default=False,
        help_text="Together with the switch above, for vLLM 0.10.2 and newer: the ids come with the answer. Off: they "
        "are read off the log-probs and /tokenize.",
    )

    chat_template_kwargs = models.JSONField(
        default=dict,
        blank=True,
        validators=[validate_json_object],
        help_text="Passed to the model's chat template.",
    )
    extra_body = models.JSONField(
        default=dict,
        blank=True,
        validators=[validate_json_object],
        help_text="Defaults for the engine's request body; whatever the request holds wins.",
    )
    sampling_overrides = models.JSONField(
        default=dict,
        blank=True,
        validators=[validate_json_object],
        help_text="Forced into the engine's request body; beats whatever the request holds.",
    )
    default_headers = models.JSONField(
        default=dict,
        blank=True,
        validators=[validate_headers],
        help_text="Headers that go to the engine with every request. They are shown here: keys belong on the endpoint.",
    )
    audio_root = models.CharField(
        max_length=500,
        blank=True,
        default="",
        validators=[validate_audio_root],
        help_text="The folder on this machine that metadata.audio_path is looked up in. Empty: no file is read.",
    )
    request_timeout_seconds = models.PositiveIntegerField(
        default=3600,
        validators=[MinValueValidator(1), MaxValueValidator(86_400)],
        help_text="How long one answer may take, in seconds, everything included.",
    )
    connect_timeout_seconds = models.FloatField(
        default=10,
        validators=[validate_finite, MinValueValidator(0.1), MaxValueValidator(300)],
        help_text="How long an engine may take to accept a connection. Then another one is asked.",
    )
    first_byte_timeout_seconds = models.FloatField(
        null=True,
        blank=True,
        validators=[validate_finite, MinValueValidator(0.1), MaxValueValidator(86_400)],
        help_text="How long the first byte of a streamed answer may take. Then another engine is asked. Empty: as long "
        "as the whole answer, because a busy engine queues.",
    )
    idle_timeout_seconds = models.FloatField(
        null=True,
        blank=True,
        validators=[validate_finite, MinValueValidator(0.1), MaxValueValidator(86_400)],
        help_text="An engine that has begun to stream and sends nothing for so long is taken for dead. Empty: "
        "ROUNDHOUSE_STALL_SECONDS.",
    )
    hold_seconds = models.FloatField(
        default=30,
        validators=[validate_finite, MinValueValidator(0), MaxValueValidator(3600)],
        help_text="How long a request waits for an engine when none can be asked, before it is refused with a 503.",
    )
    max_attempts = models.PositiveSmallIntegerField(
        default=3,
        validators=[MinValueValidator(1), MaxValueValidator(10)],
        help_text="How many engines one request may be put to when they give no answer. An engine that is not even "
        "reached does not count.",
    )
    paused = models.BooleanField(default=False, help_text="On: requests wait, and none fails; what runs goes on.")
    remote_media_allowed = models.BooleanField(
        default=True,
        help_text="Off: http(s) URLs of images, audio and video are refused, because the engine would fetch them from "
        "inside its network; data: URLs are taken.",
    )

    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse settings that contradict each other."""
        if found := profile_rules.contradictions({name: getattr(self, name) for name in profile_rules.NAMES}):
            raise ValidationError(found)

    @property
    def engine_model(self) -> str:
        """The model name to send to the engine."""
        return self.upstream_model or self.name
