#!/usr/bin/env python3
r"""Stands where an engine's interpreter stands: run as `engine_python.py -m vllm… --port=N …`, it serves like vLLM.

It needs nothing but the standard library, so it is up in a moment. What it does is told in its environment:

    FAKE_LOG            lines to write first, separated by \n
    FAKE_START_SECONDS  how long it loads before it listens
    FAKE_EXIT           exit code to end with instead of listening
    FAKE_SICK           a file: while it exists, /health answers 503
    FAKE_MUTE           set: generates no tokens (HTTP 500)
    FAKE_CHILD          set: a child that ignores SIGTERM is left behind, as vLLM's engine core may be
"""

import json
import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

IGNORE_TERM = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(600)"


def options(argv: list[str]) -> dict[str, list[str]]:
    """Return the arguments by name: `--a=1` and `--a 1 2` alike."""
    found: dict[str, list[str]] = {}
    name = ""
    for word in argv:
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            found[name] = [value] if equals else []
        elif name:
            found[name].append(word)
    return found


class Handler(BaseHTTPRequestHandler):
    """Answers what a probe asks."""

    names: list[str]

    def do_GET(self) -> None:
        """Answer /health and /v1/models."""
        sick = os.environ.get("FAKE_SICK", "")
        if self.path == "/health":
            self.answer(503 if sick and Path(sick).exists() else 200, {})
        elif not self.allowed():
            self.answer(401, {"error": "Unauthorized"})
        elif self.path == "/v1/models":
            self.answer(200, {"data": [{"id": name, "max_model_len": 2048} for name in self.names]})
        else:
            self.answer(404, {})

    def do_POST(self) -> None:
        """Answer /v1/completions."""
        self.rfile.read(int(self.headers.get("content-length", "0")))
        if not self.allowed():
            self.answer(401, {"error": "Unauthorized"})
        elif os.environ.get("FAKE_MUTE"):
            self.answer(500, {"error": {"message": "no tokens today"}})
        else:
            self.answer(200, {"choices": [{"text": "a"}]})

    def allowed(self) -> bool:
        """Return whether the request carries the key."""
        return self.headers.get("authorization") == f"Bearer {os.environ['VLLM_API_KEY']}"

    def answer(self, status: int, body: dict[str, Any]) -> None:
        """Send JSON."""
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Log nothing, as engines do without access logs."""


def begin() -> dict[str, list[str]]:
    """Do what is told for before it listens; return the arguments, none if it was only asked what its vLLM takes."""
    if sys.argv[1:2] == ["-c"]:  # asked what its vLLM takes: whatever it is given
        sys.stdout.write('{"version": "0", "flags": null}')
        return {}
    # The key is a secret, so that a test can see it redacted.
    log = f"started with key {os.environ['VLLM_API_KEY']}\\n" + os.environ.get("FAKE_LOG", "")
    sys.stdout.write(log.replace("\\n", "\n") + "\n")
    sys.stdout.flush()
    if code := os.environ.get("FAKE_EXIT"):
        sys.exit(int(code))
    if os.environ.get("FAKE_CHILD"):
        child = subprocess.Popen([sys.executable, "-c", IGNORE_TERM], start_new_session=True, stdout=subprocess.PIPE)
        assert child.stdout
        child.stdout.readline()  # it ignores SIGTERM from now on
    time.sleep(float(os.environ.get("FAKE_START_SECONDS", "0")))
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    return options(sys.argv[1:])


def main() -> None:
    """Do as told."""
    if given := begin():
        Handler.names = given["--served-model-name"]
        ThreadingHTTPServer((given["--host"][0], int(given["--port"][0])), Handler).serve_forever()


if __name__ == "__main__":
    main()
