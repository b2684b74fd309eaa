"""The supervisor keeps programs running and leaves none behind."""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from controlplane.supervisor import Program, Supervisor


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def supervisor(*wanted: Program, log_dir: Path | None, said: list[str]) -> Supervisor:
    return Supervisor(list(wanted), env=dict(os.environ), log_dir=log_dir, say=said.append)


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):  # it may go between the two
        return False


def test_a_program_that_dies_is_started_again_and_said_so(tmp_path: Path) -> None:
    said: list[str] = []
    programs = supervisor(Program("web", python("raise SystemExit(3)")), log_dir=tmp_path, said=said)
    programs.start()
    try:
        deadline = time.monotonic() + 60
        while len(said) < 2 and time.monotonic() < deadline:
            programs.tend()
            time.sleep(0.02)
    finally:
        programs.stop()
    assert said[0].startswith("web ended (exit status 3); starting it again in 1 s; see ")
    assert "in 2 s" in said[1]


def test_what_a_dead_program_started_dies_before_it_is_started_again(tmp_path: Path) -> None:
    """Uvicorn's workers outlive their killed parent, and would hold the port against the next one."""
    code = (
        "import os, time\n"
        "child = os.fork()\n"
        f"if child: open({str(tmp_path / 'child')!r}, 'w').write(f'{{child}}\\n')\n"
        "time.sleep(60)"
    )
    programs = supervisor(Program("web", python(code)), log_dir=tmp_path, said=[])
    programs.start()
    try:
        until(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text().endswith("\n"))
        child = int((tmp_path / "child").read_text())
        running = programs.children[0].process
        assert running is not None
        running.kill()
        running.wait()
        assert alive(child)
        programs.tend()
        until(lambda: not alive(child))
    finally:
        programs.stop()


def test_stop_asks_first_and_the_output_is_in_the_log(tmp_path: Path) -> None:
    code = (
        "import signal, sys, time\n"
        "signal.signal(15, lambda *_: sys.exit(print('bye')))\n"
        "print('up', flush=True)\n"
        "time.sleep(60)"
    )
    said: list[str] = []
    programs = supervisor(Program("web", python(code), grace=60), log_dir=tmp_path, said=said)
    programs.start()
    until(lambda: "up" in (tmp_path / "web.log").read_text())
    programs.stop()
    assert (tmp_path / "web.log").read_text() == "up\nbye\n"
    assert said == []


def test_what_does_not_end_is_killed_with_everything_it_started(tmp_path: Path) -> None:
    code = (
        "import os, signal, time\n"
        "signal.signal(15, signal.SIG_IGN)\n"
        "child = os.fork()\n"
        f"if child: open({str(tmp_path / 'child')!r}, 'w').write(f'{{child}}\\n')\n"
        "time.sleep(60)"
    )
    said: list[str] = []
    programs = supervisor(Program("worker", python(code), grace=0.3), log_dir=tmp_path, said=said)
    programs.start()
    until(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text().endswith("\n"))
    child = int((tmp_path / "child").read_text())
    programs.stop()
    until(lambda: not alive(child))
    assert said == ["worker did not end within 0 s and is killed"]


def test_programs_end_with_a_killed_supervisor(tmp_path: Path) -> None:
    program = python("import time; time.sleep(60)")
    code = (
        "import os, time\n"
        "from controlplane.supervisor import Program, Supervisor\n"
        f"s = Supervisor([Program('web', {program!r})], env=dict(os.environ), log_dir=None, say=print)\n"
        "s.start()\n"
        "print(s.children[0].process.pid, flush=True)\n"
        "time.sleep(60)"
    )
    reader, writer = os.pipe()
    parent = os.posix_spawn(sys.executable, python(code), os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, writer, 1)])
    os.close(writer)
    with os.fdopen(reader) as output:
        child = int(output.readline())
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    until(lambda: not alive(child))


def test_the_last_log_is_kept(tmp_path: Path) -> None:
    (tmp_path / "web.log").write_text("before")
    programs = supervisor(Program("web", python("print('now')")), log_dir=tmp_path, said=[])
    programs.start()
    until(lambda: (tmp_path / "web.log").read_text() == "now\n")
    programs.stop()
    assert (tmp_path / "web.log.1").read_text() == "before"


@pytest.mark.parametrize("workers", [1, 3])
def test_the_programs_are_web_worker_and_beat(tmp_path: Path, workers: int) -> None:
    from controlplane.supervisor import programs

    wanted = programs(host="127.0.0.1", port=8080, workers=workers, data_dir=tmp_path)
    assert [program.name for program in wanted] == ["web", "worker", "beat"]
    assert wanted[0].argv[-1] == str(workers)
