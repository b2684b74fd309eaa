"""A real vLLM with a tiny model, as a process of its own."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from launcher.processes import free_port

KEY = "contract-key"
CONTEXT = 512  # tokens


class RealVllm(NamedTuple):
    """One that serves."""

    origin: str
    api_key: str = KEY

    @property
    def base_url(self) -> str:
        """What an endpoint registers."""
        return f"{self.origin}/v1"


@contextmanager
def running() -> Iterator[RealVllm]:
    """Start one, wait until it is healthy, and end it."""
    with tempfile.TemporaryDirectory(prefix="rhc-") as folder:
        model, port = f"{folder}/model", free_port("127.0.0.1")
        subprocess.run([sys.executable, "-m", "controlplane.tiny_model", model], check=True, capture_output=True)
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", model]
        command += ["--served-model-name", "tiny", "--host", "127.0.0.1", "--port", str(port), "--api-key", KEY]
        command += ["--max-model-len", str(CONTEXT), "--enforce-eager", "--enable-auto-tool-choice"]
        command += ["--tool-call-parser", "hermes", "--reasoning-parser", "qwen3"]
        command += ["--structured-outputs-config", '{"backend": "xgrammar", "disable_any_whitespace": true}']
        env = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
        log = Path(folder) / "log"
        with log.open("w") as output:
            process = subprocess.Popen(
                command, env=env, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
        try:
            engine = RealVllm(f"http://127.0.0.1:{port}")
            _wait_until_healthy(engine, process, log)
            yield engine
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _wait_until_healthy(engine: RealVllm, process: "subprocess.Popen[bytes]", log: Path) -> None:
    while True:
        with suppress(httpx.TransportError):
            if httpx.get(f"{engine.origin}/health", trust_env=False).status_code == httpx.codes.OK:
                return
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.5)
            pytest.fail(f"vLLM ended: {log.read_text()[-2000:]}")
