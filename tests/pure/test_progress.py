"""How far a start is, in words of several versions of vLLM and of the hub."""

import pytest

from launcher import progress
from launcher.progress import Progress

CORE = "(EngineCore pid=18109) INFO 11-21 08:26:15 [core.py:133] "
OLD = "INFO 04-03 14:16:16 model_runner.py:1008] "
WORKER = "(Worker_TP0 pid=34322) INFO 05-06 20:59:59 [gpu_model_runner.py:4879] "


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (CORE + "Initializing a V1 LLM engine (v0.32.0) with config: model='x'", "starting the engine's processes"),
        (OLD + "Initializing an LLM engine (v0.4.0) with config: model='x'", "starting the engine's processes"),
        # The hub, of which vLLM lets through what is no weights; older engines and other loaders show all.
        (
            "Fetching 12 files:  25%|##5       | 3/12 [00:01<00:03,  2.9it/s]",
            "downloading files, file 3 of 12 (25 %)",
        ),
        (
            "Downloading shards:  50%|#####     | 2/4 [01:10<01:10, 35.2s/it]",
            "downloading weights, file 2 of 4 (50 %), about 70 s left",
        ),
        (
            "model-00001-of-00004.safetensors:  67%|######7   | 3.3G/5.0G [00:30<00:15, 112MB/s]",
            "downloading weights, 3.3 GB of 5.0 GB (67 %), about 15 s left",
        ),
        (
            "model-00001-of-00004.safetensors:  67%|######7   | 3.3G/5.0G",
            "downloading weights, 3.3 GB of 5.0 GB (67 %)",
        ),
        (
            "tiny-Q4_K_M.gguf:  10%|#   | 52.4M/524M [00:01<00:09, 50.1MB/s]",
            "downloading weights, 52.4 MB of 524.0 MB (10 %)",
        ),
        (
            "Reconstructing (incomplete total...):  40%|####      | 2.40GB / 6.00GB, 90.1MB/s  ",
            "downloading weights, 2.4 GB of 6.0 GB (40 %)",
        ),
        ("config.json: 100%|##########| 726/726 [00:00<00:00, 6.21MB/s]", ""),
        ("tokenizer.json:  45%|####  | 3.2M/7.0M [00:00<00:00, 6.21MB/s]", ""),
        (CORE + "Time spent downloading weights for org/model: 71.250000 seconds", "loading the model"),
        (CORE + "Starting to load model /models/tiny...", "loading the model"),
        (
            "Loading safetensors checkpoint shards:  50% Completed | 2/4 [00:01<00:01, 1.00it/s]",
            "loading weights, shard 2 of 4 (50 %)",
        ),
        (
            "Loading safetensors checkpoint shards (eager):  41% Completed | 20/49 [06:03<09:33, 19.76s/it]",
            "loading weights, shard 20 of 49 (41 %), about 10 min left",
        ),
        (
            "Loading safetensors checkpoint shards:   0% Completed | 0/3 [00:00<?, ?it/s]",
            "loading weights, shard 0 of 3 (0 %)",
        ),
        (
            "Loading pt checkpoint shards: 100% Completed | 2/2 [00:03<00:00,  1.59s/it]",
            "loading weights, shard 2 of 2 (100 %)",
        ),
        (
            "Loading np_cache checkpoint shards:  50% Completed | 1/2 [00:03<00:03,  3.0s/it]",
            "loading weights, shard 1 of 2 (50 %)",
        ),
        (
            "Multi-thread loading shards:  25% Completed | 4/16 [00:04<00:12,  1.00it/s]",
            "loading weights, shard 4 of 16 (25 %), about 12 s left",
        ),
        (
            "Multi-thread loading pt checkpoint shards:  50% Completed | 1/2 [00:04<00:04,  4.0s/it]",
            "loading weights, shard 1 of 2 (50 %)",
        ),
        (
            "Loading safetensors using Runai Model Streamer:  30% Completed | 117/390 [00:02<00:05, 50.1it/s]",
            "loading weights, 117 of 390 (30 %)",
        ),
        (CORE + "Prefetching checkpoint files: 30% (3/10)", "loading weights, file 3 of 10 (30 %)"),
        ("(Worker pid=1) INFO 11-21 08:26:23 [x.py:1] Loading weights took 0.00 seconds", "preparing the KV cache"),
        (WORKER + "Model loading took 12.66 GiB memory and 31.657031 seconds", "preparing the KV cache"),
        (OLD + "Loading model weights took 12.5523 GB", "preparing the KV cache"),
        (CORE + "Warming up model for the compilation...", "compiling"),
        (WORKER + "Using cache directory: /root/.cache/x/backbone for vLLM's torch.compile", "compiling"),
        (WORKER + "Dynamo bytecode transform time: 3.54 s", "compiling"),
        (WORKER + "[backbone] Starting torch.compile", "compiling"),
        (CORE + "torch.compile takes 12.1 s in total", "compiling"),
        (
            "JIT kernel warmup (24 compile keys):  50%|#####     | 12/24 [00:10<00:11,  1.1it/s]",
            "warming up kernels, 12 of 24 (50 %), about 11 s left",
        ),
        (
            "DeepGEMM warmup:  10%|#     | 100/1000 [00:02<00:18, 49.1it/s]",
            "warming up kernels, 100 of 1000 (10 %), about 18 s left",
        ),
        ("Capturing CUDA graphs (mixed prefill-decode, PIECEWISE):  40%|####   |", "capturing CUDA graphs, 40 %"),
        (
            "Capturing CUDA graphs (decode, FULL):  27%|##   | 18/67 [00:02<00:05,  9.1it/s]",
            "capturing CUDA graphs, 18 of 67 (27 %)",
        ),
        (
            "Capturing CUDA graph shapes:  51%|#####1    | 18/35 [00:09<00:08,  2.05it/s]",
            "capturing CUDA graphs, 18 of 35 (51 %)",
        ),
        (
            "Capturing prefill CUDA graphs (PIECEWISE):  50%|#####1    | 2/4 [00:09<00:08,  2.05it/s]",
            "capturing CUDA graphs, 2 of 4 (50 %)",
        ),
        (
            OLD + "Capturing the model for CUDA graphs. This may lead to unexpected consequences",
            "capturing CUDA graphs",
        ),
        (OLD + "Graph capturing finished in 14 secs.", "starting the server"),
        (CORE + "init engine (profile, create kv cache, warmup model) took 3.18 s", "starting the server"),
        ("INFO:     Application startup complete.", "generating the first token"),
        ("something else", ""),
        ('ERROR: cannot read "Fetching 12 files: 25%"', ""),
    ],
)
def test_each_stage_is_named(line: str, said: str) -> None:
    found = progress.from_log(line)
    assert (found.said if found else "") == said


def test_the_last_stage_counts_and_what_no_pattern_knows_changes_nothing() -> None:
    log = f"{CORE}Starting to load model x\n\n{CORE}Filesystem type for checkpoints: EXT4.\n"
    assert progress.from_log(log) == Progress("loading the model")
    assert progress.from_log(f"{log}Fetching 6 files: 100%|###| 6/6 [00:00<00:00, 9it/s]\n") == Progress(
        "loading the model"
    )
    assert progress.from_log("") is None


def test_what_a_bar_wrote_last_counts_and_is_there_in_numbers() -> None:
    bar = "Fetching 4 files:   0%|  | 0/4\rFetching 4 files:  75%|### | 3/4 [00:09<01:03,  3.0s/it]"
    found = progress.from_log(bar)
    assert found is not None
    assert found.numbers() == {
        "stage": "downloading files",
        "percent": 75.0,
        "done": 3.0,
        "total": 4.0,
        "unit": "files",
        "eta_seconds": 63,
    }


def test_the_time_that_is_left_follows_from_what_was_seen() -> None:
    def at(now: float, done: float, before: dict[str, object]) -> tuple[str, dict[str, object]]:
        found = Progress(progress.DOWNLOADING, 100 * done / 10e9, done, 10e9, progress.BYTES)
        timed, kept = progress.timed(found, before, now)
        return timed.said, kept

    said, kept = at(100.0, 2e9, {})
    assert said == "downloading weights, 2.0 GB of 10.0 GB (20 %)"
    said, kept = at(102.0, 3e9, kept)  # too early to tell
    assert said == "downloading weights, 3.0 GB of 10.0 GB (30 %)"
    said, kept = at(110.0, 4e9, kept)
    assert said == "downloading weights, 4.0 GB of 10.0 GB (40 %), about 30 s left"
    assert kept["eta_seconds"] == 30
    again, _ = progress.timed(Progress(progress.LOADING, 50.0, 1, 2, progress.SHARDS), kept, 111.0)
    assert again.eta_seconds is None  # another stage begins anew


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Progress("downloading weights", done=5e5, unit="bytes"), "downloading weights, 500 kB"),
        (Progress("x", 1.0, eta_seconds=9), "x, 1 %"),
        (Progress("x", 1.0, eta_seconds=5400), "x, 1 %, about 1.5 h left"),
    ],
)
def test_what_is_not_known_is_not_said(found: Progress, said: str) -> None:
    assert found.said == said
