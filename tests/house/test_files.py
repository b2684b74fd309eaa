"""House rules that no import contract can show."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CODE = ("controlplane", "endpoints", "launcher", "responses_api")
MAX_LINES = 400
BANNED_NAMES = {"utils.py", "helpers.py", "common.py", "misc.py"}


def python_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).exists()]


FILES = python_files()
PRODUCT = [file for file in FILES if file.relative_to(ROOT).parts[0] in CODE and "migrations" not in file.parts]


def test_there_are_files_to_look_at() -> None:
    assert len(PRODUCT) > 30


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_file_is_longer_than_it_can_be_read(file: Path) -> None:
    if "migrations" in file.parts:
        return
    assert len(file.read_text().splitlines()) <= MAX_LINES


def test_no_file_has_a_name_that_says_nothing() -> None:
    assert [file for file in FILES if file.name in BANNED_NAMES] == []


def assigned_fields(source: str) -> set[str]:
    """Return the fields that this code writes: `x.state = …`, `.update(state=…)`, or `{"state": …}` for it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AnnAssign | ast.AugAssign):
            targets = [node.target]
        found |= {target.attr for target in targets if isinstance(target, ast.Attribute)}
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "update":
            found |= {keyword.arg for keyword in node.keywords if keyword.arg}
        if isinstance(node, ast.Dict):
            found |= {key.value for key in node.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)}
    return found


def test_the_rule_about_engine_state_sees_every_way_of_writing_it() -> None:
    assert "state" in assigned_fields("engine.state = 'ready'")
    assert "state" in assigned_fields("Engine.objects.filter(pk=1).update(state='ready')")
    assert "state" in assigned_fields("changes = {'state': 'ready'}; rows.update(**changes)")
    assert "state" not in assigned_fields("Engine.objects.filter(state='ready').update(phase='x')")


def test_engine_state_has_one_writer() -> None:
    writers = {
        str(file.relative_to(ROOT))
        for file in PRODUCT
        if {"state", "state_reason", "generation"} & assigned_fields(file.read_text())
    }
    # The control API's filters are a mapping by field name; it writes nothing.
    assert writers - {"launcher/api.py"} == {"launcher/transitions.py"}


@pytest.mark.parametrize("word", ["unittest" + ".mock", "Magic" + "Mock", "mock" + "er"])
def test_nothing_is_mocked(word: str) -> None:
    assert [file for file in FILES if word in file.read_text()] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_ignored_type_error_is_named(file: Path) -> None:
    assert re.search(r"# type: ignore(?!\[)" + "$", file.read_text(), flags=re.MULTILINE) is None
