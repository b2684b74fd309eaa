"""Arbitrary requests and arbitrary engines, through a real gateway on a real socket."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.scripted_vllm import Step
from tests.fuzz import bodies, engines
from tests.fuzz.law import Law, fuzz, slow_fuzz
from tests.fuzz.mutation import anything, dump, harmed, spoiled
from tests.web.gateway_server import running

pytestmark = pytest.mark.django_db(transaction=True)

REQUESTS = {
    "/responses": bodies.responses,
    "/responses/compact": bodies.compactions,
    "/chat/completions": bodies.chats,
}
# An answer that cannot be used is asked for elsewhere, without the pause before the same engine: hence three.
ENGINES = 3


@pytest.fixture
def law(caplog: pytest.LogCaptureFixture) -> Iterator[Law]:
    caplog.set_level(logging.WARNING)  # of a failure, what the gateway says and not each request
    with running(engines=ENGINES, max_model_len=64) as site, site.client() as client:
        yield Law(site, client)


@pytest.mark.parametrize("path", REQUESTS)
def test_any_body_is_answered(law: Law, path: str) -> None:
    @fuzz
    @given(st.binary(max_size=60) | anything.map(dump))
    def hold(body: bytes) -> None:
        law.hold(path, body)

    hold()


@pytest.mark.parametrize("path", REQUESTS)
def test_any_request_is_answered(law: Law, path: str) -> None:
    @fuzz
    @given(spoiled(harmed(REQUESTS[path])))
    def hold(body: bytes) -> None:
        law.hold(path, body)

    hold()


# Profiles that ask their engines in other ways, or read them so.
PROFILES: dict[str, dict[str, Any]] = {
    "native": {"is_responses_native": True},
    "completions": {"use_completions_api": True},
    "rendered": {"use_completions_api": True, "render_chat_template": True},
    "training": {
        "return_token_id_information": True,
        "sequential_reasoning_allowed": False,
        "reasoning_shown_as": "both",
    },
    "strict": {
        "unrunnable_tools": "refuse",
        "uses_reasoning_parser": False,
        "replace_developer_role_with_system": True,
        "context_overflow": "error",
    },
}


@pytest.mark.parametrize("profile", PROFILES)
def test_any_request_is_answered_under_any_profile(profile: str) -> None:
    with running(engines=ENGINES, max_model_len=64, **PROFILES[profile]) as site, site.client() as client:
        law = Law(site, client)

        @slow_fuzz
        @given(spoiled(harmed(bodies.responses)))
        def hold(body: bytes) -> None:
            law.hold("/responses", body)

        hold()


ASKED = {
    "/responses": b'{"model": "tiny", "input": "hi", "stream": %b}',
    "/chat/completions": b'{"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "stream": %b}',
    "/completions": b'{"model": "tiny", "prompt": "hi", "stream": %b}',
}


@pytest.mark.parametrize("path", ASKED)
def test_any_header_is_answered(law: Law, path: str) -> None:
    @fuzz
    @given(bodies.headers)
    def hold(headers: dict[str, bytes]) -> None:
        law.hold(path, ASKED[path] % b"false", headers)

    hold()


@pytest.mark.parametrize("path", ASKED)
@pytest.mark.parametrize(("stream", "steps"), [(b"false", engines.whole), (b"true", engines.streamed)])
def test_any_answer_of_an_engine_is_answered(
    law: Law, path: str, stream: bytes, steps: st.SearchStrategy[Step]
) -> None:
    @fuzz
    @given(steps)
    def hold(step: Step) -> None:
        for engine in law.site.engines:
            engine.always = step
        law.hold(path, ASKED[path] % stream)

    hold()
