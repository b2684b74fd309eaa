"""Stands where an engine's interpreter stands, as `engine_python` does, and answers on all APIs, as `scripted_vllm`.

It obeys the variables of the first and the steps of the second.
"""

import os
import sys
import threading
from pathlib import Path

from tests.fakes import engine_python
from tests.fakes.scripted_vllm import ScriptedVllm


def executable(folder: Path) -> str:
    """Return the path of a program that stands where an engine's interpreter stands."""
    path = folder / "python-scripted"
    root = Path(__file__).resolve().parents[2]
    path.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(root)!r})\n"
        "from tests.fakes import engine_scripted\nengine_scripted.main()\n"
    )
    path.chmod(0o755)
    return str(path)


def main() -> None:
    """Do as told."""
    if given := engine_python.begin():
        model, port = given["--served-model-name"][0], int(given["--port"][0])
        with ScriptedVllm(model=model, api_key=os.environ["VLLM_API_KEY"], port=port):
            threading.Event().wait()
