"""The installer's decisions, and its one-line messages, with a real Python and no network."""

import json
import os
import subprocess
import sys
from pathlib import Path

from controlplane import install as installer

ROOT = Path(__file__).resolve().parents[2]


def install(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "controlplane/install.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **env},
    )


def test_an_unknown_engine_is_one_line_with_the_choices(tmp_path: Path) -> None:
    done = install("--engine=gpu", f"--venv={tmp_path / 'venv'}")
    assert done.returncode == 1
    assert done.stderr == "roundhouse: ENGINE=gpu is not known; use auto, cpu, vllm or none.\n"
    assert not (tmp_path / "venv").exists()


def test_a_failed_download_is_one_line_with_the_cause(tmp_path: Path) -> None:
    done = install(
        "--engine=none",
        f"--venv={tmp_path / 'venv'}",
        PIP_NO_INDEX="1",
        PIP_FIND_LINKS=str(tmp_path),
        PIP_CONFIG_FILE="/dev/null",
    )
    assert done.returncode == 1
    assert done.stderr.startswith("roundhouse: pip could not install: ERROR: ")
    assert done.stderr.count("\n") == 1
    assert "run the same command again" in done.stderr


def test_what_is_installed_is_not_installed_again(tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    venv.mkdir()
    stamp = {"pins": installer.digest(), "engine": "cpu", "dev": "yes"}
    (venv / ".roundhouse").write_text(json.dumps(stamp))
    for wish in ("cpu", "none"):
        done = install(f"--engine={wish}", "--dev", f"--venv={venv}")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_another_gpu_wish_is_told_by_the_driver(tmp_path: Path) -> None:
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA H100'\n")
    driver.chmod(0o755)
    path = os.environ["PATH"]
    os.environ["PATH"] = f"{tmp_path}:{path}"
    try:
        assert installer.pick_engine("auto") == "vllm"
    finally:
        os.environ["PATH"] = path
