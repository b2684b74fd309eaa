"""Whether an engine gets on, by its Prometheus metrics. Pure."""

import re

_PROGRESS = re.compile(
    rb"^vllm:(?:generation_tokens|prompt_tokens|request_success|kv_cache_usage_perc|gpu_cache_usage_perc)"
    rb"(?:_total)?(?:\{.*\})? .*$",
    re.MULTILINE,
)
_GENERATES = b"vllm:generation_tokens"

Progress = frozenset[bytes]


def progress_in(metrics: bytes) -> Progress | None:
    """Return what changes whenever an engine reads or generates anything; None if the metrics do not say."""
    found = frozenset(_PROGRESS.findall(metrics))
    return found if any(line.startswith(_GENERATES) for line in found) else None
