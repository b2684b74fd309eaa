"""The door to the Hugging Face cache on this machine: how much of a model's weights has come.

vLLM downloads them without a word. What is complete is linked in the newest snapshot, what is on its way grows in a
file `….incomplete` beside the complete ones, and the index of the weights, which comes first, has their size in all.
"""

import json
from pathlib import Path

from launcher.progress import BYTES, DOWNLOADING, Progress

FRESH_SECONDS = 60.0  # a part that nobody wrote to for so long is of a download that was given up
BLOCK = 512  # bytes, as `st_blocks` counts: a file may be made in its full length and filled later
SUFFIXES = (".safetensors", ".bin", ".gguf", ".pt", ".pth")


def downloading(hub: Path, model: str, now: float) -> Progress | None:
    """Return how much of a model there is while some of it is on its way; None if nothing is.

    `hub` is the cache's folder of models, `now` in seconds since 1970.
    """
    folder = hub / f"models--{model.replace('/', '--')}"
    try:
        parts = [
            found for path in folder.glob("blobs/*.incomplete") if now - (found := path.stat()).st_mtime < FRESH_SECONDS
        ]
        if not parts:
            return None
        done = sum(min(part.st_size, part.st_blocks * BLOCK) for part in parts)
        snapshots = sorted(folder.glob("snapshots/*"), key=lambda path: path.stat().st_mtime)
        files = list(snapshots[-1].iterdir()) if snapshots else []
        done += sum(path.stat().st_size for path in files if path.suffix in SUFFIXES)
        total = next((size for path in files if path.name.endswith(".index.json") and (size := _total(path))), None)
    except OSError:  # it is being moved just now
        return None
    if total is None or done > total:
        return Progress(DOWNLOADING, done=done, unit=BYTES)
    return Progress(DOWNLOADING, 100 * done / total, done, total, BYTES)


def _total(index: Path) -> float | None:
    """Return the size of all weights in bytes, as their index says."""
    try:
        size = json.loads(index.read_text())["metadata"]["total_size"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return float(size) if isinstance(size, int | float) and size > 0 else None
