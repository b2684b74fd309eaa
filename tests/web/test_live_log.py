"""An engine's log on a WebSocket: who may watch, what they see, and how little a slow page costs."""

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from controlplane.asgi import application
from launcher import consumers, places
from launcher.models import Engine
from launcher.states import State
from tests.fakes.uvicorn_thread import UvicornThread
from tests.web.live_log import forget_logs, launched, session_of, watching, write
from tests.web.surfaces import make_user, put_in_state

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def server() -> Iterator[UvicornThread]:
    with UvicornThread(application, lifespan="on", ws="websockets-sansio") as server:
        yield server
        server.stop()


@pytest.fixture
def port(server: UvicornThread, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(consumers, "LOOK_SECONDS", 0.02)
    forget_logs()
    yield server.port
    forget_logs()


@pytest.fixture
def ann() -> User:
    return make_user("ann", permissions=["launcher.view_engine"])


def end(engine: Engine, reason: str) -> None:
    put_in_state(engine, State.FAILED, base_url="", phase="", state_reason=reason)


def test_lines_come_as_they_are_written_without_secrets(port: int, ann: User) -> None:
    engine = launched()
    write(engine, "one\ntwo secret-of-the-engine\nhalf of")
    with watching(port, engine, session_of(ann)) as page:
        page.sees("one\ntwo [redacted]\n")
        page.hears(attempt=1, state="starting", said="loading the model", ended=False, progress=None)
        write(engine, " three\n")
        page.sees("one\ntwo [redacted]\nhalf of three\n")
        put_in_state(engine, State.STARTING, phase="loading weights", progress={"percent": 50.0})
        page.hears(said="loading weights", progress=50.0)


def test_it_goes_on_with_the_next_launch_and_says_how_the_last_one_ended(port: int, ann: User) -> None:
    engine = launched()
    write(engine, "first\n")
    with watching(port, engine, session_of(ann)) as page:
        page.sees("first\n")
        write(engine, "last words")
        end(engine, "The process ended with exit code 1.")
        page.hears(attempt=1, state="failed", said="The process ended with exit code 1.", ended=True)
        page.sees("first\nlast words")
        again = launched(2)
        write(again, "second\n")
        page.sees("first\nlast wordssecond\n")
        page.hears(attempt=2, ended=False)
        Engine.objects.all().delete()
        with pytest.raises(ConnectionClosedError, match="The engine was deleted"):
            page.hears(attempt=3)


def test_a_page_that_comes_back_reads_on_where_it_was(port: int, ann: User) -> None:
    engine, session = launched(), session_of(ann)
    write(engine, "one\n")
    with watching(port, engine, session) as page:
        page.sees("one\n")
        cursor = page.cursor
    write(engine, "two\n")
    with watching(port, engine, session, f"?cursor={cursor}") as page:
        page.sees("two\n")
    places.of_this_host().save_log("tiny", 1, "one\ntwo\nthree\n")
    end(engine, "Over.")
    with watching(port, engine, session, f"?cursor={cursor}") as page:  # now it is another file: all of it, again
        page.sees("one\ntwo\nthree\n")


def test_the_whole_log_is_searched(port: int, ann: User) -> None:
    engine = launched()
    write(engine, "An Error\n" + "x" * 99 + "\n" * 9 + ("y" * 99 + "\n") * 5000)
    with watching(port, engine, session_of(ann), "?attempt=1") as page:
        page.hear()
        page.say(search="error")
        page.sees("An Error\n")
        page.say(search="nowhere")
        page.sees("")
        write(engine, "nowhere\n")
        page.sees("nowhere\n")


def test_a_page_that_pauses_or_shows_nothing_is_not_sent_more(
    port: int, ann: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "MAX_UNSEEN", 10)
    engine = launched()
    write(engine, "0123456789\n")
    with watching(port, engine, session_of(ann)) as page:
        page.sees("0123456789\n")
        write(engine, "more\n")
        with pytest.raises(TimeoutError):
            page.hear(0.2)
        page.say(pause=True)
        page.say(seen=11)
        with pytest.raises(TimeoutError):
            page.hear(0.2)
        page.say(pause=False)
        page.sees("0123456789\nmore\n")
        page.connection.send("no JSON")
        page.connection.send(b"[1]")
        page.say(seen="x", search=1)
        page.say(seen=16)
        write(engine, "on\n")
        page.sees("0123456789\nmore\non\n")


@pytest.mark.parametrize("origin", ["", "null", "http://evil.example", "http://127.0.0.1:1", "file://127.0.0.1"])
def test_another_sites_page_is_refused_before_it_is_open(port: int, ann: User, origin: str) -> None:
    with pytest.raises(InvalidStatus) as refused, watching(port, launched(), session_of(ann), origin=origin):
        pass
    assert refused.value.response.status_code == 403


def test_a_trusted_site_may_open_it(port: int, ann: User, settings: Settings) -> None:
    settings.CSRF_TRUSTED_ORIGINS = ["https://*.example.org"]
    engine = launched()
    write(engine, "one\n")
    with watching(port, engine, session_of(ann), origin="https://ops.example.org") as page:
        page.sees("one\n")
    with pytest.raises(InvalidStatus), watching(port, engine, session_of(ann), origin="http://ops.example.org"):
        pass


def test_it_takes_the_permission_as_long_as_it_is_open(port: int, ann: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "ASK_AGAIN_SECONDS", 0)
    engine = launched()
    write(engine, "one\n")
    for session in ("", "made-up", session_of(make_user("eve")), session_of(make_user("bob", staff=False))):
        with (
            watching(port, engine, session) as page,
            pytest.raises(ConnectionClosedError, match="Sign in, with the permission to view engines"),
        ):
            page.hear()
    with watching(port, engine, session_of(ann)) as page:
        page.sees("one\n")
        ann.user_permissions.clear()
        with pytest.raises(ConnectionClosedError, match="Sign in"):
            page.hear()


def test_only_so_many_watch(port: int, ann: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "MAX_TAILS", 1)
    engine, session = launched(), session_of(ann)
    write(engine, "one\n")
    with watching(port, engine, session) as first, watching(port, engine, session) as second:
        first.sees("one\n")
        with pytest.raises(ConnectionClosedError, match="Too many"):
            second.hear()


def test_an_engine_that_was_never_launched_is_waited_for(port: int, ann: User) -> None:
    engine = put_in_state(launched(), State.STOPPED, generation=0, base_url="")
    with watching(port, engine, session_of(ann)) as page:
        page.hears(attempt=0, said="It was never launched.")
        write(launched(), "one\n")
        page.sees("one\n")
