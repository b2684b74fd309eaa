"""Interpreters are asked what their vLLM takes, once, and arguments are held against it."""

import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.db import connection

from launcher import interpreters, tasks
from launcher.interpreters import InterpreterError
from launcher.models import Engine
from launcher.services import EngineConfigError
from launcher.states import State
from tests.fakes.cluster import FakeCluster
from tests.state.engines import drive, make_engine, visit, wanted

SAID = '{"version": "9", "flags": {"seed": {"kind": "value", "type": "int", "choices": []}}, "parsers": {}}'


def interpreter(folder: Path, script: str) -> str:
    """Return an executable that answers with a shell script, and counts in the file `asked` how often."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\necho once >> {folder}/asked\n{script}\n")
    path.chmod(0o700)
    return str(path)


def test_an_interpreter_is_asked_once(tmp_path: Path) -> None:
    path = interpreter(tmp_path, f"echo noise\necho '{SAID}'")
    assert interpreters.known(path) is None
    found = interpreters.learn(path)
    assert found is not None
    assert found.version == "9"
    assert interpreters.learn(path) == found == interpreters.known(path)
    assert (tmp_path / "asked").read_text() == "once\n"


def test_one_on_another_machine_is_not_asked() -> None:
    assert interpreters.learn("/nowhere/bin/python") is None


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo \"No module named 'vllm'\" >&2; exit 1", "has no vLLM that starts: No module named 'vllm'"),
        ("true", "it says nothing"),
        ("echo '{}'", "does not say what its vLLM takes"),
    ],
)
def test_one_without_a_vllm_says_so(tmp_path: Path, script: str, said: str) -> None:
    with pytest.raises(InterpreterError, match=said):
        interpreters.learn(interpreter(tmp_path, script))


@pytest.mark.django_db
def test_all_are_asked_before_anybody_launches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    good, bad = tmp_path / "good", tmp_path / "bad"
    for folder, script in ((good, f"echo '{SAID}'"), (bad, "exit 1")):
        folder.mkdir()
        for name in ("one", "two"):
            make_engine(f"{folder.name}-{name}", ray_worker_py_executable=interpreter(folder, script))
    for _ in range(2):
        tasks.learn_interpreters()
    assert (good / "asked").read_text() == (bad / "asked").read_text() == "once\n"
    assert interpreters.known(str(good / "python")) is not None
    os.utime(good / "python", (1, 1))  # another one stands there now
    assert interpreters.known(str(good / "python")) is None
    tasks.learn_interpreters()
    assert (good / "asked").read_text() == "once\nonce\n"


def test_two_that_ask_at_once_ask_once(tmp_path: Path) -> None:
    path = interpreter(tmp_path, f"sleep 0.2; echo '{SAID}'")
    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(interpreters.learn, [path, path])
    assert first == second is not None
    assert (tmp_path / "asked").read_text() == "once\n"


@pytest.mark.django_db(transaction=True)
def test_a_process_that_ends_waits_for_no_answer(tmp_path: Path, cluster: FakeCluster) -> None:
    path = interpreter(tmp_path, "exec sleep 600")
    engine = wanted(make_engine(ray_worker_py_executable=path))
    reconciling = threading.Thread(target=visit_until_it_waits, args=(engine, cluster))
    reconciling.start()
    try:
        while not (tmp_path / "asked").exists():
            time.sleep(0.01)
        interpreters.give_up()
        reconciling.join(timeout=60)
        assert not reconciling.is_alive()
    finally:
        interpreters._given_up.clear()
    engine.refresh_from_db()
    assert (engine.state, engine.failures) == (State.PENDING, 0)  # nothing is wrong with it
    assert "was not asked to its end" in engine.phase


def visit_until_it_waits(engine: Engine, cluster: FakeCluster) -> None:
    for _ in range(2):
        visit(engine, cluster)
    connection.close()


@pytest.mark.django_db(transaction=True)
def test_a_launch_asks_first_and_is_refused_for_good(tmp_path: Path, cluster: FakeCluster) -> None:
    path = interpreter(tmp_path, f"echo '{SAID}'")
    kwargs = {"data_parallel_size": 1, "tensor_parallel_size": 1, "pipeline_parallel_size": 1, "sed": 7}
    engine = wanted(make_engine(ray_worker_py_executable=path, vllm_serve_kwargs=kwargs))
    engine = drive(engine, cluster, until=State.FAILED)
    assert "sed is no argument of vLLM 9; did you mean seed?" in engine.state_reason
    assert engine.generation == 0
    with pytest.raises(EngineConfigError, match="did you mean seed"):
        wanted(Engine.objects.get())


def test_the_real_vllm_says_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("vllm", reason="no vLLM in this environment")
    monkeypatch.setattr(interpreters, "SECONDS", 280)  # on a machine that is busy
    found = interpreters.learn(sys.executable)
    assert found is not None
    assert found.by_name is not None
    assert found.by_name["max_model_len"].type == "human int"
    assert found.by_name["enforce_eager"].kind == "toggle"
    assert found.by_name["gpu_memory_utilization"].type == "float"
    assert found.by_name["compilation_config"].type == "json"
    assert found.by_name["served_model_name"].kind == "list"
    assert "hermes" in found.parsers["tool_call_parser"]
    assert "deepseek_r1" in found.parsers["reasoning_parser"]
