"""Conversations that nobody gave a name, when PostgreSQL, in which they would be looked up, has just gone."""

from pathlib import Path

import httpx
import pytest
from django.db import connection

from responses_api.models import ResponseRecord
from tests.chaos.web_process import WebProcess, database_url, web_processes
from tests.fakes.tcp_proxy import TcpProxy
from tests.web.gateway_server import NO_TLS, until

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_conversation_goes_on_although_nobody_can_look_it_up(tmp_path: Path) -> None:
    """Nobody has noticed yet that the database is away, and this process has not seen the conversation."""
    here = connection.settings_dict
    with (
        TcpProxy(here["HOST"], int(here["PORT"] or 5432)) as network,
        web_processes(tmp_path, 2, database=database_url(network.port)) as (web, other),
        httpx.Client(verify=NO_TLS, timeout=90, headers={"authorization": f"Bearer {web.key}"}) as client,
    ):

        def ask(process: WebProcess, *said: object) -> int:
            body = {"model": "tiny", "input": [*said, {"role": "user", "content": "And?"}]}
            return client.post(f"{process.url}/responses", json=body).status_code

        said = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "echo: hi"}]
        assert ask(web) == ask(other) == 200
        network.close()
        assert [ask(process, *said) for process in (other, web, other)] == [200, 200, 200]
        network.open()
        until(lambda: web.spool == [], seconds=60)
        assert ResponseRecord.objects.filter(status="completed").count() == 5
