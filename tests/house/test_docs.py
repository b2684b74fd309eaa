"""Documents that can be wrong are compared with the code."""

import re
from pathlib import Path

from controlplane import settings
from endpoints.models import ConfigProfile
from launcher.presets import PRESETS
from launcher.serializers import SETTINGS
from launcher.states import MEANING, MOVES
from responses_api import affinity
from responses_api.balancing import WAYS

ROOT = Path(__file__).resolve().parents[2]


def table_rows(document: str, heading: str) -> list[list[str]]:
    """Return the cells of the first Markdown table under a heading, without its head."""
    section = document.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_every_setting_is_documented_with_its_default() -> None:
    rows = table_rows((ROOT / "docs/settings.md").read_text(), "Environment variables")
    documented = {row[0]: row[1] for row in rows}
    defaults = settings.READER.seen | {"DATABASE_URL": "SQLite in the data directory"}
    assert documented == {**{name: default or "—" for name, default in defaults.items()}, "ENGINE": "auto"}


def test_every_state_is_documented() -> None:
    document = (ROOT / "docs/states.md").read_text()
    assert table_rows(document, "States") == [[state.value, meaning] for state, meaning in MEANING.items()]


def test_every_move_is_documented() -> None:
    document = (ROOT / "docs/states.md").read_text()
    assert table_rows(document, "Moves") == [[old.value, new.value, when] for (old, new), when in MOVES.items()]


def test_the_diagram_shows_every_move() -> None:
    document = (ROOT / "docs/states.md").read_text()
    diagram = document.split("```mermaid\n", 1)[1].split("```", 1)[0]
    drawn = set(re.findall(r"^\s+(\w+) --> (\w+)", diagram, flags=re.MULTILINE))
    assert drawn == {(old.value, new.value) for old, new in MOVES}


def test_every_source_of_a_session_is_documented_in_its_order() -> None:
    rows = table_rows((ROOT / "docs/explanation/sessions.md").read_text(), "How a session is found")
    assert [row[0] for row in rows] == [name.strip("`") for name in (*affinity.SOURCES, affinity.BY_ITSELF)]


def test_every_way_of_balancing_is_documented() -> None:
    rows = table_rows((ROOT / "docs/explanation/sessions.md").read_text(), "Where a new session goes")
    assert [row[0] for row in rows] == [way.label.lower() for way in ConfigProfile.Balancing]
    assert [*WAYS] == ConfigProfile.Balancing.values


def test_every_preset_is_documented() -> None:
    rows = table_rows((ROOT / "docs/how-to/presets.md").read_text(), "The presets")
    assert rows == [
        [
            preset.name,
            preset.model,
            str(preset.least),
            preset.kwargs.get("tool_call_parser", "—"),
            preset.kwargs.get("reasoning_parser", "—"),
        ]
        for preset in PRESETS.values()
    ]


def test_every_check_is_documented() -> None:
    coded = set(re.findall(r'id="roundhouse\.([EW]\d{3})"', (ROOT / "controlplane/checks.py").read_text()))
    rows = table_rows((ROOT / "docs/settings.md").read_text(), "Wrong combinations")
    assert {row[0] for row in rows} == coded


def test_every_make_target_of_the_readme_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z-]+)", (ROOT / "README.md").read_text()))
    assert named
    assert named <= targets


def test_every_room_of_the_map_exists() -> None:
    rows = table_rows((ROOT / "README.md").read_text(), "Where things are")
    assert rows
    for name, *_ in rows:
        assert (ROOT / name).exists(), name


def test_every_option_of_an_engine_is_documented_with_a_test_that_exists() -> None:
    text = (ROOT / "docs/reference/engines.md").read_text()
    rows = table_rows(text, "Options")
    shown = {"has_hf_token"}  # said of what is stored, not set
    assert [row[0] for row in rows] == [name for name in SETTINGS if name not in shown]
    tests = "".join(file.read_text() for file in (ROOT / "tests").rglob("test_*.py"))
    for what, _, test in (*rows, *table_rows(text, "What goes wrong")):
        assert f"def {test}(" in tests, f"{what}: there is no {test}"


def test_every_link_between_documents_leads_somewhere() -> None:
    for document in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.relative_to(ROOT)} links to {target}"


def test_the_version_is_that_of_the_changelog() -> None:
    package = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), flags=re.MULTILINE)
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert package
    assert newest
    assert newest.group(1) == package.group(1)


def test_the_index_names_every_document() -> None:
    index = (ROOT / "docs/README.md").read_text()
    named = set(re.findall(r"\]\(([^)#:\s]+)\)", index))
    there = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    assert named == {path for path in there if not path.startswith("decisions/0")} - {"README.md"}
