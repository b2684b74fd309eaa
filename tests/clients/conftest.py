"""What the tests of clients start from: a gateway over one scripted engine, and the programs from npm."""

import os
from collections.abc import Iterator

import pytest

from tests.clients import npm
from tests.web.gateway_server import Site, running

ROOM = 200_000  # words: the prompts of coding agents are long


@pytest.fixture(scope="session")
def from_npm() -> None:
    """The clients that come from npm."""
    if not os.environ.get("ROUNDHOUSE_TEST_NODE"):
        pytest.skip("no clients from npm; set ROUNDHOUSE_TEST_NODE=1 to install them with `npm ci` and use them")
    assert npm.install() == ""


@pytest.fixture
def site() -> Iterator[Site]:
    with running(max_model_len=ROOM) as started:
        yield started
