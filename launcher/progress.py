"""How far an engine's start has come, in words and numbers, by what vLLM and the hub write. Pure.

The patterns were taken from vLLM 0.4 to 0.32 and huggingface_hub 0.2x to 2.4; a line that none knows changes nothing.
vLLM silences the hub's bars for weights, so `weights` looks at the files as well.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from launcher.log_lines import lines, without_prefix

SMALL_FILES, DOWNLOADING, LOADING = "downloading files", "downloading weights", "loading weights"
MODEL = "loading the model"
PROCESSES = "starting the engine's processes"
LEFT_FROM = 10  # seconds; less is not worth a word
MIN_RATE_SECONDS = 3  # of watching, before a rate is believed
BYTES, FILES, SHARDS = "bytes", "files", "shards"

_SCALE = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_AMOUNT = r"(\d+(?:\.\d+)?)([kKMGT]?)i?B?"
# vLLM's own format, and tqdm's, with what the hub makes of it: "45%|####    | 1.20G/2.60G [00:10<00:12, 112MB/s]".
_DONE = re.compile(
    rf"(\d+)%(?: Completed)?\s*(?:\|[^|]*\|\s*|\|\s*|\()?(?:{_AMOUNT}\s*/\s*{_AMOUNT})?(?:\)?\s*\[[\d:]+<([\d:]+))?"
)
_WEIGHTS = r"\S*\.(?:safetensors|bin|gguf|pt|pth)(?:\(\S*\))?"

# What a line begins with, the stage that it shows, and what its numbers count. The last line that matches counts.
_STAGES: list[tuple[re.Pattern[str], str, str]] = [
    (re.compile(r"Initializing an? (?:V\d+ )?LLM engine"), PROCESSES, ""),
    (
        re.compile(r"Fetching \d+ files:"),
        SMALL_FILES,
        FILES,
    ),  # of the tokenizer and such: no bar of weights is let through
    (re.compile(r"Downloading shards:"), DOWNLOADING, FILES),
    (re.compile(rf"(?:Downloading|Reconstructing|Processing Files|{_WEIGHTS})[^:]*:\s*\d+%"), DOWNLOADING, BYTES),
    (re.compile(r"Time spent downloading weights"), MODEL, ""),
    (re.compile(r"(?:Starting to load model|Loading model from scratch)"), MODEL, ""),
    (re.compile(r"(?:Loading .*checkpoint shards|Multi-thread loading.* shards)[^:]*:"), LOADING, SHARDS),
    (re.compile(r"Loading safetensors using .*:\s*\d+%"), LOADING, ""),
    (re.compile(r"Prefetching checkpoint files: \d+%"), LOADING, FILES),
    (re.compile(r"(?:Model loading|Loading (?:model )?weights) took"), "preparing the KV cache", ""),
    (re.compile(r"(?:DeepGEMM warmup|JIT kernel warmup|Compiling CuTeDSL kernels)[^:]*:"), "warming up kernels", ""),
    (
        re.compile(
            r"(?:\[\S+\] )?(?:Starting torch\.compile|Dynamo bytecode transform|Compiling a graph"
            r"|Warming up model for the compilation|torch\.compile (?:takes|took)"
            r"|Using cache directory: .* torch\.compile)"
        ),
        "compiling",
        "",
    ),
    (re.compile(r"Capturing .*CUDA graphs?[^:]*(?::|$|\.)"), "capturing CUDA graphs", "graphs"),
    (re.compile(r"(?:Graph capturing finished|init engine \(profile)"), "starting the server", ""),
    (re.compile(r".*Application startup complete"), "generating the first token", ""),
]


@dataclass(frozen=True)
class Progress:
    """A stage of a start. `percent`, `done` of `total`, and how many seconds are left, where they are known."""

    stage: str
    percent: float | None = None
    done: float | None = None
    total: float | None = None
    unit: str = ""
    eta_seconds: int | None = None

    @property
    def said(self) -> str:
        """In words."""
        shown = [self.stage]
        percent = "" if self.percent is None else f"{self.percent:.0f} %"
        if self.done is None:
            shown += [percent] if percent else []
        else:
            shown.append(_amount(self.done, self.total, self.unit) + (f" ({percent})" if percent else ""))
        if self.eta_seconds is not None and self.eta_seconds >= LEFT_FROM:
            shown.append(f"about {_time(self.eta_seconds)} left")
        return ", ".join(shown)

    def numbers(self) -> dict[str, Any]:
        """As the API shows it."""
        return asdict(self)


def from_log(log: str) -> Progress | None:
    """Return how far a start has come; None if the log does not say."""
    for line in reversed(lines(log)):
        text = without_prefix(line).strip()
        for pattern, stage, unit in _STAGES:
            if pattern.match(text) and not (stage == SMALL_FILES and "100%" in text):
                return _counted(stage, unit, text)
    return None


def timed(found: Progress, before: Mapping[str, Any], now: float) -> tuple[Progress, dict[str, Any]]:
    """Return the progress with the time that is left, by how fast it went since it was first seen, and what to keep.

    `before` is what was kept the last time; `now` in seconds.
    """
    begun = before.get("begun")
    if not isinstance(begun, list) or before.get("stage") != found.stage or before.get("unit") != found.unit:
        begun = [now, found.done]
    if found.eta_seconds is None and found.total and found.done is not None and begun[1] is not None:
        seconds, gained = now - begun[0], found.done - begun[1]
        if seconds >= MIN_RATE_SECONDS and gained > 0:
            found = replace(found, eta_seconds=round((found.total - found.done) / gained * seconds))
    return found, {**found.numbers(), "begun": begun}


def _counted(stage: str, unit: str, text: str) -> Progress:
    match = _DONE.search(text)
    if match is None:
        return Progress(stage)
    percent, done, done_scale, total, total_scale, left = match.groups()
    if done is None:
        return Progress(stage, float(percent), eta_seconds=_seconds(left))
    return Progress(
        stage,
        float(percent),
        float(done) * _SCALE[done_scale],
        float(total) * _SCALE[total_scale],
        unit,
        _seconds(left),
    )


def _seconds(left: str | None) -> int | None:
    if not left:
        return None
    seconds = 0
    for each in left.split(":"):
        seconds = seconds * 60 + int(each or 0)
    return seconds


def _amount(done: float, total: float | None, unit: str) -> str:
    if unit == BYTES:
        return f"{_size(done)} of {_size(total)}" if total else _size(done)
    of = f" of {total:.0f}" if total else ""
    return f"{unit.removesuffix('s')} {done:.0f}{of}" if unit in {SHARDS, FILES} else f"{done:.0f}{of}"


def _size(count: float) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1000:.0f} kB"


def _time(seconds: int) -> str:
    if seconds < 90:  # noqa: PLR2004  (a minute and a half)
        return f"{seconds} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"  # noqa: PLR2004
