"""What vLLM's log says in plain words: how far a start has come, and why it failed. Pure.

The patterns were taken from logs of vLLM 0.32; a line that none knows changes nothing.
"""

import re
from collections.abc import Callable, Iterable
from re import Match

TAIL_LINES = 40
CAUSE_WINDOW = 400  # lines from the end: what a request of last week ran into is not why the engine died now
MAX_CAUSE = 400  # characters
MIN_SECRET = 8  # characters; anything shorter would blot out ordinary words

# "(EngineCore pid=18109) ERROR 11-21 08:26:15 [core.py:133] " and the colours some terminals get.
_PREFIX = re.compile(
    r"^(?:\((?:[A-Za-z_]+[^()]*?)pid=\d+\)\s*)?(?:(?:DEBUG|INFO|WARNING|ERROR|CRITICAL) \S+ \S+ \[[^\]]*\]\s?)?"
)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_ROUTE = re.compile(r"\] Route: /\S*, Methods: ")
_HF_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{16,}\b")

Say = Callable[[Match[str]], str]

# (what the log says, what we say); the last line that matches any of them is where the start is.
_PHASES: list[tuple[re.Pattern[str], Say]] = [
    (re.compile(r"Initializing a V\d+ LLM engine"), lambda _: "starting the engine's processes"),
    (
        re.compile(r"^(?:Fetching \d+ files|Downloading[^:]*|\S+\.(?:safetensors|bin|gguf)):\s*(\d+)%"),
        lambda m: f"downloading weights, {m[1]} %",
    ),
    (re.compile(r"Starting to load model"), lambda _: "loading the model"),
    (
        re.compile(r"Loading .*checkpoint shards:\s*(\d+)% Completed \| (\d+)/(\d+)"),
        lambda m: f"loading weights, shard {m[2]} of {m[3]} ({m[1]} %)",
    ),
    (re.compile(r"(?:Model loading|Loading weights) took"), lambda _: "preparing the KV cache"),
    (re.compile(r"Compiling a graph|Warming up model for the compilation|torch\.compile takes"), lambda _: "compiling"),
    (re.compile(r"Capturing CUDA graphs?.*?:\s*(\d+)%"), lambda m: f"capturing CUDA graphs, {m[1]} %"),
    (re.compile(r"init engine \(profile"), lambda _: "starting the server"),
    (re.compile(r"Application startup complete"), lambda _: "generating the first token"),
]

# (what the log says, what to do about it); tried on the cause.
_ADVICE: list[tuple[re.Pattern[str], str]] = [
    (
        re.compile(r"CUDA out of memory|OutOfMemoryError"),
        "The GPU's memory does not suffice: lower gpu_memory_utilization or max_model_len, or use more GPUs.",
    ),
    (
        re.compile(r"Free memory on device .* is less than desired"),
        "Something else holds GPU memory: stop it, or lower gpu_memory_utilization.",
    ),
    (
        re.compile(r"No available memory for the cache blocks|KV cache is needed, which is larger than"),
        "The KV cache does not fit: lower max_model_len or raise gpu_memory_utilization (VLLM_CPU_KVCACHE_SPACE).",
    ),
    (
        re.compile(r"is greater than the derived max_model_len"),
        "Lower max_model_len to what the model can do.",
    ),
    (
        re.compile(r"Address already in use"),
        "Another program took the port; the next attempt chooses another one.",
    ),
    (
        re.compile(r"GatedRepoError|401 Client Error|gated repo"),
        "The model needs permission: set HF_TOKEN in the engine's environment variables.",
    ),
    (
        re.compile(r"RepositoryNotFoundError|Repo id must be in the form|is not a local folder"),
        "There is no such model: check the model field; a directory must exist on the engine's node.",
    ),
    (re.compile(r"No space left on device"), "The disk is full."),
    (
        re.compile(r"unrecognized arguments|invalid choice|invalid \w+ value"),
        "vLLM does not know an argument or its value: check vllm_serve_kwargs.",
    ),
    (
        re.compile(r"No module named '?vllm"),
        "The interpreter has no vLLM: install it there, or set the engine's interpreter field.",
    ),
    (
        re.compile(r"/bin/sh: .*(?:not found|No such file)"),
        "There is no such interpreter on the engine's node: check the engine's interpreter field.",
    ),
]

_EXCEPTION = re.compile(r"^(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Interrupt|Exit)\b(?::|$)")
_PLAIN_ERROR = re.compile(r"^(?:\S+: error: .+|/bin/sh: .+|exec: .+|.*: No module named .+)$")
# Said by the processes that were told, not by the one that knows.
_SECOND_HAND = re.compile(
    r"Engine core initialization failed|See root cause above|EngineDeadError|WorkerProc initialization failed"
    r"|^SystemExit|^KeyboardInterrupt|^asyncio\.\S*CancelledError"
)
_VALIDATION = re.compile(r"\d+ validation errors? for \w+$")


def lines(log: str) -> list[str]:
    """Return the lines of a log; what a progress bar overwrote is a line of its own."""
    return [line for line in re.split(r"[\r\n]+", _COLOUR.sub("", log)) if line.strip()]


def tail(log: str, count: int = TAIL_LINES) -> str:
    """Return the last lines, without the fifty in which vLLM lists its routes."""
    return "\n".join([line for line in lines(log) if not _ROUTE.search(line)][-count:])


def phase(log: str) -> str:
    """Return how far a start has come, or "" if the log does not say."""
    for line in reversed(lines(log)):
        text = _PREFIX.sub("", line)
        for pattern, say in _PHASES:
            if match := pattern.search(text):
                return say(match)
    return ""


def cause(log: str) -> str:
    """Return the first thing that went wrong, with what to do about it where that is known; "" if nothing did."""
    texts = [_PREFIX.sub("", line) for line in lines(log)[-CAUSE_WINDOW:]]
    for index, text in enumerate(texts):
        if not (_EXCEPTION.match(text) or _PLAIN_ERROR.match(text)) or _SECOND_HAND.search(text):
            continue
        said = text.strip()
        if _VALIDATION.search(said) and index + 1 < len(texts):
            said = texts[index + 1].strip().removeprefix("Value error, ")
        said = said[:MAX_CAUSE]
        advice = next((advice for pattern, advice in _ADVICE if pattern.search(said)), "")
        return f"{advice} ({said})" if advice else said
    return ""


def redact(text: str, secrets: Iterable[str]) -> str:
    """Return the text without these secrets, and without anything that looks like a Hugging Face token."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= MIN_SECRET:
            text = text.replace(secret, "[redacted]")
    return _HF_TOKEN.sub("[redacted]", text)
