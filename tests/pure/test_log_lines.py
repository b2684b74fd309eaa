import pytest

from launcher import log_lines

CORE = "(EngineCore pid=18109) "
PREFIX = CORE + "INFO 11-21 08:26:15 [core.py:133] "
ERROR = CORE + "ERROR 11-21 08:26:15 [core.py:133] "


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (PREFIX + "Initializing a V1 LLM engine (v0.32.0) with config: model='x'", "starting the engine's processes"),
        ("Fetching 12 files:  25%|##5       | 3/12 [00:01<00:03,  2.9it/s]", "downloading weights, 25 %"),
        ("model-00001-of-00004.safetensors:  67%|######7   | 3.3G/5.0G", "downloading weights, 67 %"),
        (PREFIX + "Starting to load model /models/tiny...", "loading the model"),
        (
            "Loading safetensors checkpoint shards:  50% Completed | 2/4 [00:01<00:01, 1.00it/s]",
            "loading weights, shard 2 of 4 (50 %)",
        ),
        ("(Worker pid=1) INFO 11-21 08:26:23 [x.py:1] Loading weights took 0.00 seconds", "preparing the KV cache"),
        (PREFIX + "Model loading took 4.5 GiB memory and 3.1 seconds", "preparing the KV cache"),
        (PREFIX + "torch.compile takes 12.1 s in total", "compiling"),
        ("Capturing CUDA graphs (mixed prefill-decode, PIECEWISE):  40%|####   |", "capturing CUDA graphs, 40 %"),
        (PREFIX + "init engine (profile, create kv cache, warmup model) took 3.18 s", "starting the server"),
        ("INFO:     Application startup complete.", "generating the first token"),
        ("something else", ""),
    ],
)
def test_each_phase_of_a_start_is_named(line: str, expected: str) -> None:
    assert log_lines.phase(line) == expected


def test_the_last_phase_counts_and_what_no_pattern_knows_changes_nothing() -> None:
    log = f"{PREFIX}Starting to load model x\n\n{PREFIX}Filesystem type for checkpoints: EXT4.\n"
    assert log_lines.phase(log) == "loading the model"
    assert log_lines.phase("") == ""


def test_a_progress_bar_counts_as_many_lines() -> None:
    bar = "Fetching 4 files:   0%|  | 0/4\rFetching 4 files:  50%|##  | 2/4\rFetching 4 files:  75%|### | 3/4"
    assert log_lines.phase(bar) == "downloading weights, 75 %"
    assert len(log_lines.lines(bar)) == 3


def test_the_first_cause_is_found_behind_prefixes_and_before_hearsay() -> None:
    log = "\n".join(
        [
            "(APIServer pid=1) WARNING 11-21 08:26:07 [system_utils.py:255] This can cause `OSError: [Errno 24]`.",
            ERROR + "EngineCore failed to start.",
            ERROR + "Traceback (most recent call last):",
            ERROR + '  File "core.py", line 1, in run_engine_core',
            ERROR + "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",
            '(APIServer pid=1)   File "x.py", line 1, in main',
            "(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above.",
        ]
    )
    assert log_lines.cause(log).startswith("The GPU's memory does not suffice: lower gpu_memory_utilization")
    assert "(torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.)" in log_lines.cause(log)


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("ValueError: nobody knows this one", "ValueError: nobody knows this one"),
        ("huggingface_hub.errors.GatedRepoError: 401 Client Error.", "set HF_TOKEN"),
        ("OSError: [Errno 98] Address already in use", "Another program took the port"),
        ("OSError: [Errno 28] No space left on device", "The disk is full."),
        ("api_server.py: error: unrecognized arguments: --max-modle-len", "check vllm_serve_kwargs"),
        ("/bin/sh: 1: exec: /no/python: not found", "There is no such interpreter"),
        ("/venv/bin/python: No module named vllm", "The interpreter has no vLLM"),
        (
            "ValueError: (4.38 GiB KV cache is needed, which is larger than the available KV cache memory (1.0 GiB).",
            "The KV cache does not fit",
        ),
    ],
)
def test_known_causes_come_with_what_to_do(log: str, expected: str) -> None:
    assert expected in log_lines.cause(log)


def test_a_validation_error_is_read_where_it_says_something() -> None:
    log = (
        "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig\n"
        "  Value error, User-specified max_model_len (9999) is greater than the derived max_model_len (4096).\n"
        "    For further information visit https://errors.pydantic.dev\n"
    )
    assert log_lines.cause(log) == (
        "Lower max_model_len to what the model can do. "
        "(User-specified max_model_len (9999) is greater than the derived max_model_len (4096).)"
    )


def test_no_cause_is_invented() -> None:
    assert log_lines.cause("INFO:     Application startup complete.\nFutureWarning: old\n") == ""
    assert log_lines.cause("") == ""


def test_what_went_wrong_long_ago_is_not_the_cause() -> None:
    log = "ValueError: one request, last week\n" + "fine\n" * 400
    assert log_lines.cause(log) == ""


def test_the_tail_has_forty_lines_without_colours_and_blanks() -> None:
    log = "".join(f"\x1b[36mline {number}\x1b[0m\n\n" for number in range(100))
    assert log_lines.tail(log).splitlines() == [f"line {number}" for number in range(60, 100)]


def test_the_tail_leaves_out_the_list_of_routes() -> None:
    log = f"before\n{PREFIX}Route: /v1/models, Methods: GET\nafter"
    assert log_lines.tail(log) == "before\nafter"


def test_secrets_are_blotted_out_longest_first_and_short_words_are_left() -> None:
    text = "key=abcdefgh-and-more token hf_AbCdEfGhIjKlMnOpQr on abcdefgh"
    assert log_lines.redact(text, ["abcdefgh", "abcdefgh-and-more", "on", ""]) == (
        "key=[redacted] token [redacted] on [redacted]"
    )
