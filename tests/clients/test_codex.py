"""The Codex command line, with Roundhouse as a model provider of its configuration."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from endpoints.models import ConfigProfile, Endpoint
from responses_api.models import ResponseRecord, Session
from tests.clients.npm import FOLDER
from tests.clients.programs import run
from tests.clients.scripts import calling, ledger, saying
from tests.fakes.scripted_vllm import Step
from tests.web.gateway_server import Site

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("from_npm")]

CODEX = FOLDER / "node_modules/@openai/codex/bin/codex.js"
CONFIG = """
model = "tiny"
model_provider = "roundhouse"
check_for_update_on_startup = false
{more}

[analytics]
enabled = false

[model_providers.roundhouse]
name = "Roundhouse"
base_url = "{url}"
env_key = "ROUNDHOUSE_KEY"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
{provider}
"""

# What it does is kept from the machine by the tests alone: the sandbox needs rights that containers may lack.
EXEC = ("exec", "--json", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox")


@dataclass
class Codex:
    """One user's Codex."""

    site: Site
    home: Path
    thread: str = ""

    def configure(self, *, more: str = "", provider: str = "") -> None:
        """Write its configuration."""
        (self.home / ".codex").mkdir(exist_ok=True)
        text = CONFIG.format(url=self.site.url, more=more, provider=provider)
        (self.home / ".codex/config.toml").write_text(text)

    def ask(self, prompt: str, *, fails: bool = False) -> dict[str, list[dict[str, Any]]]:
        """Return the items and the end of one turn, by type. The first turn starts a thread, later ones resume it."""
        resume = ("resume", self.thread) if self.thread else ()
        command = ("node", str(CODEX), *EXEC, *resume, prompt)
        ran = run(command, home=self.home, env={"ROUNDHOUSE_KEY": self.site.key})
        assert bool(ran.status) is fails, ran.stdout + ran.stderr
        found: dict[str, list[dict[str, Any]]] = {}
        for event in ran.events():
            if event["type"] != "item.started":
                item = event.get("item", event)
                found.setdefault(item["type"], []).append(item)
        self.thread = found["thread.started"][0]["thread_id"]
        return found


@pytest.fixture
def codex(site: Site, tmp_path: Path) -> Codex:
    return Codex(site, tmp_path)


def talk(codex: Codex) -> None:
    """Hold two turns, the first of which runs a command, and check what came of them."""
    codex.site.engine.script.append(calling("exec_command", cmd="echo one two"))
    first = codex.ask("Say one two")
    assert [item["exit_code"] for item in first["command_execution"]] == [0]
    assert first["command_execution"][0]["aggregated_output"] == "one two\n"
    assert [item["text"] for item in first["reasoning"]] == ["I need exec_command."]
    assert first["agent_message"][0]["text"].endswith("Output:\none two\n")
    assert first["turn.completed"][0]["usage"]["output_tokens"] > 0
    second = codex.ask("Thank you")
    assert [item["text"] for item in second["agent_message"]] == ["echo: Thank you"]
    last = codex.site.engine.chats[-1]["messages"]
    calls = [message for message in last if message.get("tool_calls")]
    assert [call["tool_calls"][0]["function"]["name"] for call in calls] == ["exec_command"]
    assert calls[0]["reasoning"] == "I need exec_command."


def test_it_runs_a_command_and_resumes(codex: Codex) -> None:
    codex.configure()
    talk(codex)
    assert len(codex.site.engine.chats) == 3
    assert ledger() == [("responses", "completed")] * 3


def test_it_talks_over_a_websocket(codex: Codex, caplog: pytest.LogCaptureFixture) -> None:
    codex.configure(provider="supports_websockets = true")
    with caplog.at_level("INFO", logger="uvicorn"):
        talk(codex)
    assert '"WebSocket /v1/responses" [accepted]' in caplog.text
    assert "POST /v1/responses" not in caplog.text


def test_it_calls_a_tool_of_a_namespace(codex: Codex) -> None:
    codex.configure()
    codex.site.engine.script.extend([calling("multi_agent_v1__close_agent", target="nobody"), saying("Closed.")])
    assert [item["text"] for item in codex.ask("Close nobody")["agent_message"]] == ["Closed."]
    offered = {tool["function"]["name"] for tool in codex.site.engine.chats[0]["tools"]}
    assert {"exec_command", "multi_agent_v1__close_agent"} <= offered
    *_, call, result = codex.site.engine.chats[1]["messages"]
    assert call["tool_calls"][0]["function"]["name"] == "multi_agent_v1__close_agent"
    assert "invalid agent id nobody" in result["content"]


def test_the_catalog_tells_it_the_real_limits(codex: Codex) -> None:
    codex.configure()
    Endpoint.objects.update(max_model_len=32_000)
    codex.site.refresh()
    assert "Model metadata for `tiny` not found" in codex.ask("hello")["error"][0]["message"]
    with codex.site.client() as client:
        (codex.home / "catalog.json").write_bytes(client.get("/profiles/tiny/codex-catalog").content)
    codex.configure(more=f'model_catalog_json = "{codex.home}/catalog.json"')
    told = codex.ask("hello again")
    assert [item["text"] for item in told["agent_message"]] == ["echo: hello again"]
    assert "error" not in told


def test_it_compacts_its_history_within_the_session(codex: Codex) -> None:
    codex.configure(more="model_auto_compact_token_limit = 100")
    for prompt in ("hello", "hello again"):
        assert [item["text"] for item in codex.ask(prompt)["agent_message"]] == [f"echo: {prompt}"]
    asked = [str(chat["messages"][-1]["content"]) for chat in codex.site.engine.chats]
    assert ["CONTEXT CHECKPOINT COMPACTION" in text for text in asked] == [False, True, False]
    assert Session.objects.count() == 1


def test_it_says_that_the_context_is_full(codex: Codex) -> None:
    codex.configure()
    ConfigProfile.objects.update(context_overflow="error")
    codex.site.engine.max_model_len = 500
    codex.site.refresh()
    said = codex.ask("hello", fails=True)
    assert "ran out of room in the model's context window" in said["turn.failed"][0]["error"]["message"]


def test_it_takes_an_answer_that_was_cut_off_where_the_profile_says_so(codex: Codex) -> None:
    codex.configure()
    ConfigProfile.objects.update(length_is_completed=True)
    codex.site.refresh()
    codex.site.engine.script.append(Step(finish_reason="length"))
    assert [item["text"] for item in codex.ask("hello")["agent_message"]] == ["echo: hello"]


def test_a_thread_is_one_session(codex: Codex) -> None:
    codex.configure()
    talk(codex)
    assert [session.key for session in Session.objects.all()] == [codex.thread]
    assert ResponseRecord.objects.filter(session__isnull=False).count() == 3
