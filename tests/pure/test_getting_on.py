"""What an engine's metrics say about whether it gets on."""

import pytest

from responses_api.progress import progress_in

METRICS = b"""# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{model_name="m"} 10.0
vllm:generation_tokens_created{model_name="m"} 1.0
vllm:num_requests_running{model_name="m"} 1.0
vllm:kv_cache_usage_perc{model_name="m"} 0.25
"""


@pytest.mark.parametrize(
    ("old", "new", "moves"),
    [
        (b'tokens_total{model_name="m"} 10.0', b'tokens_total{model_name="m"} 11.0', True),
        (b"0.25", b"0.26", True),  # a long prompt is read, and no token of it is counted before its end
        (b'running{model_name="m"} 1.0', b'running{model_name="m"} 2.0', False),  # more wait, none is served
        (b'created{model_name="m"} 1.0', b'created{model_name="m"} 2.0', False),
    ],
)
def test_what_is_read_or_generated_is_progress(old: bytes, new: bytes, moves: bool) -> None:
    assert old in METRICS
    assert (progress_in(METRICS) != progress_in(METRICS.replace(old, new))) is moves


@pytest.mark.parametrize("metrics", [b"", b"python_gc_objects_collected_total 3\n", b"vllm:kv_cache_usage_perc 0.1\n"])
def test_who_does_not_count_tokens_says_nothing(metrics: bytes) -> None:
    assert progress_in(metrics) is None
