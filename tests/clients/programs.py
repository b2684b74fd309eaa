"""Programs of other people, run as their users run them, but cut off from the network."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from tests.clients.npm import FOLDER

# Nothing listens there: whatever phones home is refused at once, and does not wait.
NOWHERE = "http://127.0.0.1:9"


@dataclass(frozen=True)
class Ran:
    """What a program said until it ended."""

    status: int
    stdout: str
    stderr: str

    def events(self) -> list[dict[str, Any]]:
        """Return the lines of its output, each of which is a JSON object."""
        return [msgspec.json.decode(line, type=dict[str, Any]) for line in self.stdout.splitlines() if line.strip()]


def run(command: Sequence[str], *, home: Path, env: Mapping[str, str], seconds: float = 180) -> Ran:
    """Return what the program said, run in `home`, its home and working directory, with `env` alone of our environment.

    Whatever it started is killed when it ends, or when the seconds are over.

    Raises:
        subprocess.TimeoutExpired: if it did not end in time.
    """
    whole = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TMPDIR": str(home),
        "LANG": "C.UTF-8",
        "HTTP_PROXY": NOWHERE,
        "HTTPS_PROXY": NOWHERE,
        "NO_PROXY": "127.0.0.1",
        **env,
    }
    with subprocess.Popen(
        command,
        cwd=home,
        env=whole,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            stdout, stderr = process.communicate(timeout=seconds)
        finally:
            kill_group(process)
    return Ran(process.returncode, stdout, stderr)


def kill_group(process: "subprocess.Popen[str]") -> None:
    """Kill the program and all that it started, if any of it is left."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def node(script: str, *arguments: str, home: Path, **env: str) -> Ran:
    """Return what one of the scripts beside package.json said."""
    return run(("node", str(FOLDER / script), *arguments), home=home, env=env)
