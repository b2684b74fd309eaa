"""The door to engines' interpreters: what the vLLM in one of them takes, asked once for each installed version.

Importing vLLM's parser takes seconds, so its answer is kept in the data directory. It is asked when a worker starts,
and soon after an engine got another interpreter, or an interpreter another vLLM; a launch waits for it. Forms and the
control API use what is known already.
"""

import contextlib
import fcntl
import hashlib
import importlib.util
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from django.conf import settings

from launcher import flags
from launcher.flags import Flags

logger = logging.getLogger(__name__)

SECONDS = 120

# Run by the engine's interpreter, of whichever vLLM: where the parser lives has changed, how argparse keeps it has not.
SCRIPT = """
import argparse, importlib, json, sys
from vllm import __version__

def first(*places):
    for place, name in places:
        try:
            return getattr(importlib.import_module(place), name)
        except (ImportError, AttributeError):
            continue
    raise SystemExit("This vLLM keeps its parser where nobody knows.")

Parser = first(("vllm.utils.argparse_utils", "FlexibleArgumentParser"), ("vllm.utils", "FlexibleArgumentParser"))
make = first(("vllm.entrypoints.launchers.cli_args", "make_arg_parser"),
             ("vllm.entrypoints.openai.cli_args", "make_arg_parser"))

KINDS = {"_StoreTrueAction": "switch", "_StoreFalseAction": "switch", "BooleanOptionalAction": "toggle",
         "_AppendAction": "list"}
TYPES = {"int": "int", "float": "float", "str": "text", "human_readable_int": "human int", "parse_dataclass": "json",
         "human_readable_int_or_auto": "human int", "loads": "json"}

def type_of(action):
    kind = action.type
    while getattr(kind, "__closure__", None) and getattr(kind, "__name__", "") in ("_optional_type", "_parse_type"):
        inner = [cell.cell_contents for cell in kind.__closure__ if callable(cell.cell_contents)]
        if not inner:
            break
        kind = inner[0]
    return TYPES.get(getattr(kind, "__name__", ""), "")

found = {}
for action in make(Parser())._actions:
    row = {"kind": KINDS.get(type(action).__name__) or ("list" if action.nargs in ("+", "*") else "value"),
           "type": type_of(action), "choices": [str(each) for each in action.choices or ()]}
    for option in action.option_strings:
        if option.startswith("--"):
            found[option[2:]] = row
parsers = {}
for argument, places in (
    ("tool_call_parser", (("vllm.tool_parsers", "ToolParserManager"),
                          ("vllm.entrypoints.openai.tool_parsers", "ToolParserManager"))),
    ("reasoning_parser", (("vllm.reasoning", "ReasoningParserManager"),)),
):
    try:
        parsers[argument] = sorted(first(*places).list_registered())
    except (AttributeError, SystemExit):
        pass
print(json.dumps({"version": __version__, "flags": found, "parsers": parsers}))
"""


class InterpreterError(Exception):
    """The interpreter cannot run vLLM; the message says why."""


class GivenUpError(Exception):
    """This process ends before the interpreter has answered: nothing is known of it."""


def known(interpreter: str) -> Flags | None:
    """Return what the interpreter's vLLM takes; None if it was not asked yet, or is not on this machine."""
    path = _kept(interpreter)
    if path is None:
        return None
    try:
        return flags.read(json.loads(path.read_text()))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def learn(interpreter: str) -> Flags | None:
    """Return what the interpreter's vLLM takes, asking it if need be; None if it is not on this machine.

    Raises:
        InterpreterError: if it has no vLLM that starts.
        GivenUpError: if this process ends before.
    """
    if (found := known(interpreter)) is not None:
        return found
    path = _kept(interpreter)
    if path is None:
        return None
    with _alone(path):
        return known(interpreter) or _learn(interpreter, path)


def learn_all(wanted: Iterable[str]) -> None:
    """Ask every interpreter that is wanted, and Roundhouse's own if it has vLLM; one that fails, once a process."""
    own = [sys.executable] if importlib.util.find_spec("vllm") else []
    for interpreter in dict.fromkeys([*own, *wanted]):
        path = _kept(interpreter)
        if path is None or path in _failed:
            continue
        try:
            learn(interpreter)
        except GivenUpError:
            return
        except (InterpreterError, OSError) as error:
            _failed.add(path)
            logger.warning("Its arguments are not checked before a launch: %s", error)


def give_up() -> None:
    """End what is being asked, and ask nothing more: this process is about to end."""
    _given_up.set()
    for process in [*_asked]:
        process.kill()


_failed: set[Path] = set()
_asked: set["subprocess.Popen[str]"] = set()
_given_up = threading.Event()


def _learn(interpreter: str, path: Path) -> Flags:
    logger.info("%s is asked what its vLLM takes.", interpreter)
    said = _ask(interpreter)
    try:
        found = flags.read(json.loads(said))
    except (ValueError, KeyError, TypeError) as error:
        raise InterpreterError(f"{interpreter} does not say what its vLLM takes: {error}") from error
    fresh = path.with_suffix(f".{os.getpid()}")
    fresh.write_text(said)
    fresh.replace(path)
    return found


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Let one process of this host ask at a time; the others find its answer."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _ask(interpreter: str) -> str:
    environment = {**os.environ, "VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1"}
    command = [interpreter, "-c", SCRIPT]  # an operator's choice, made with the launch permission
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)  # noqa: S603
    except OSError as error:
        raise InterpreterError(f"{interpreter} does not run: {error}") from error
    _asked.add(process)
    if _given_up.is_set():  # between the question and its being noted
        process.kill()
    try:
        with process:
            said, complaint = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired as error:
        process.kill()
        raise InterpreterError(f"{interpreter} does not run: {error}") from error
    finally:
        _asked.discard(process)
    if _given_up.is_set():
        raise GivenUpError(f"{interpreter} was not asked to its end.")
    lines = [line for line in said.splitlines() if line.startswith("{")]
    if process.returncode or not lines:
        last = (complaint.strip().splitlines() or ["it says nothing"])[-1]
        raise InterpreterError(f"{interpreter} has no vLLM that starts: {last}")
    return lines[-1]


def _kept(interpreter: str) -> Path | None:
    """Return where the answer of the interpreter's present vLLM is kept; None if there is no such interpreter here."""
    path = Path(interpreter)
    if not path.is_absolute() or not path.exists():
        return None
    installed = sorted(path.parent.parent.glob("lib/python*/site-packages/vllm*.dist-info"))
    stamp = [interpreter, *(f"{each.name} {each.stat().st_mtime_ns}" for each in installed)]
    if not installed:
        stamp.append(str(path.stat().st_mtime_ns))
    digest = hashlib.sha256("\0".join(stamp).encode()).hexdigest()[:16]
    folder: Path = settings.DATA_DIR.root / "interpreters"
    return folder / f"{digest}.json"
