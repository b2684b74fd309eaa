"""The page of an engine's log in a real browser."""

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Page, expect

from controlplane.asgi import application
from launcher import consumers, places
from launcher.models import Engine
from launcher.states import State
from tests.fakes.uvicorn_thread import UvicornThread
from tests.web.browser import browsing
from tests.web.live_log import forget_logs, launched, session_of, write
from tests.web.surfaces import make_user, put_in_state, signed_in, text

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ann() -> User:
    return make_user("ann", permissions=["launcher.view_engine"])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[UvicornThread]:
    monkeypatch.setattr(consumers, "LOOK_SECONDS", 0.05)
    forget_logs()
    with UvicornThread(application, lifespan="on", ws="websockets-sansio") as server:
        yield server
        server.stop()
    forget_logs()


def url(engine: Engine) -> str:
    return reverse("admin:launcher_engine_live_log", args=[engine.pk])


def test_it_follows_pauses_searches_and_connects_again(server: UvicornThread, ann: User) -> None:
    engine = launched()
    write(engine, "one <b>\nAn Error\n")
    with browsing(server.origin, session_of(ann)) as page:
        page.goto(url(engine))
        log, status = page.get_by_role("log"), page.get_by_role("status")
        expect(log).to_contain_text("one <b>")
        expect(status).to_have_text("Launch 1, starting: loading the model")
        write(engine, "10 %\r20 %\rdone\n")
        expect(log).to_contain_text("done")
        expect(log).not_to_contain_text("10 %")
        put_in_state(engine, State.STARTING, phase="loading weights", progress={"percent": 50.0})
        expect(page.get_by_role("progressbar")).to_have_attribute("value", "50")
        _pauses(page, engine)
        page.get_by_role("searchbox").press_sequentially("error")
        expect(log).to_have_text("Launch 1An Error")
        page.get_by_role("searchbox").fill("")
        expect(log).to_contain_text("while it paused")
        server.kill()
        expect(page.get_by_role("alert")).to_contain_text("The connection is lost")
        write(engine, "while it was away\n")
        server.start()
        expect(log).to_contain_text("while it was away")
        expect(page.get_by_role("alert")).to_be_hidden()
        assert log.inner_text().count("one <b>") == 1
        _goes_on_with_the_next_launch(page, engine)


def _pauses(page: Page, engine: Engine) -> None:
    pause = page.get_by_role("button", name="Pause")
    pause.focus()
    page.keyboard.press("Enter")
    resume = page.get_by_role("button", name="Resume")
    expect(resume).to_have_attribute("aria-pressed", "true")
    put_in_state(engine, State.STARTING, phase="while it paused")
    write(engine, "while it paused\n")
    expect(page.get_by_role("log")).not_to_contain_text("while it paused")
    page.keyboard.press("Enter")
    expect(page.get_by_role("log")).to_contain_text("while it paused")


def _goes_on_with_the_next_launch(page: Page, engine: Engine) -> None:
    put_in_state(engine, State.FAILED, base_url="", phase="", state_reason="The process ended with exit code 1.")
    expect(page.get_by_role("status")).to_have_text("Launch 1 ended: The process ended with exit code 1.")
    write(launched(2), "and again\n")
    expect(page.get_by_role("log")).to_contain_text("Launch 2and again")
    assert "/log/2/" in str(page.get_by_role("link", name="Download").get_attribute("href"))


def test_without_a_script_it_is_plain_text(ann: User) -> None:
    engine = put_in_state(launched(2), State.FAILED, base_url="", state_reason="Cause 2.")
    for attempt in (1, 2):
        places.of_this_host().save_log("tiny", attempt, f"launch {attempt}\nAn <Error>\nlast line\n")
    page = text(signed_in(ann).get(url(engine)))
    assert "launch 2\nAn &lt;Error&gt;\nlast line</pre>" in page
    assert "Launch 2 ended: Cause 2." in page
    assert f"{reverse('admin:launcher_engine_log', args=[engine.pk, 2])}?follow=1" in page
    assert "<pre>An &lt;Error&gt;</pre>" in text(signed_in(ann).get(url(engine), {"attempt": "1", "search": "error"}))


def test_the_page_takes_the_permission() -> None:
    engine = launched()
    assert signed_in(make_user("eve")).get(url(engine)).status_code == 403
    assert Client().get(url(engine)).status_code == 302
    ann = make_user("ann", permissions=["launcher.view_engine"])
    assert signed_in(ann).get(reverse("admin:launcher_engine_live_log", args=[999])).status_code == 404
