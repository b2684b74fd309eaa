"""Claude Code, which speaks Anthropic's messages API."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from responses_api.models import Session
from tests.clients.npm import FOLDER
from tests.clients.programs import run
from tests.clients.scripts import calling, ledger, saying
from tests.web.gateway_server import Site

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("from_npm")]

CLAUDE = FOLDER / "node_modules/@anthropic-ai/claude-code/cli-wrapper.cjs"
QUIET = {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1"}
ROOM = {"CLAUDE_CODE_MAX_OUTPUT_TOKENS": "8000"}  # it would ask for 32,000


def ask(site: Site, home: Path, prompt: str, *more: str, key_in: str) -> dict[str, Any]:
    """Return how one turn ended, as Claude Code tells it."""
    command = ("node", str(CLAUDE), "-p", prompt, "--output-format", "json", "--allowedTools", "Bash(echo:*)", *more)
    env = {"ANTHROPIC_BASE_URL": site.server.origin, "ANTHROPIC_MODEL": "tiny", key_in: site.key, **QUIET, **ROOM}
    ran = run(command, home=home, env=env)
    assert ran.status == 0, ran.stdout + ran.stderr
    return msgspec.json.decode(ran.stdout, type=dict[str, Any])


@pytest.mark.parametrize("key_in", ["ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_API_KEY"])
def test_it_runs_a_command_and_resumes(site: Site, tmp_path: Path, key_in: str) -> None:
    call = calling("Bash", command="echo one two", description="Say one two")
    site.engine.script.extend([call, saying("It said one two."), saying("You are welcome.")])
    first = ask(site, tmp_path, "Say one two", key_in=key_in)
    assert (first["subtype"], first["num_turns"], first["permission_denials"]) == ("success", 2, [])
    assert first["result"] == "It said one two."
    second = ask(site, tmp_path, "Thank you", "--resume", first["session_id"], key_in=key_in)
    assert second["result"] == "You are welcome."
    asked = [seen.body for seen in site.engine.requests if seen.path == "/v1/messages"]
    assert [body["max_tokens"] for body in asked] == [8000] * 3
    blocks = [block for message in asked[2]["messages"] for block in message["content"] if isinstance(block, dict)]
    assert [block["name"] for block in blocks if block["type"] == "tool_use"] == ["Bash"]
    assert [block["content"] for block in blocks if block["type"] == "tool_result"] == ["one two"]
    assert ledger() == [("messages", "completed")] * 3
    assert [session.key for session in Session.objects.all()] == [first["session_id"]]
