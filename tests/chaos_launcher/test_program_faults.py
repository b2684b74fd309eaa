"""Roundhouse's own programs and the Ray head are killed: one launch, nothing lost, nothing left."""

import os
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.chaos_launcher.site import STREAM, Site, ask, kill
from tests.end_to_end.host import until
from tests.fakes import engine_scripted


def test_a_worker_that_is_killed_while_it_launches_launches_once(site: Site) -> None:
    site.make("launched", env={"FAKE_START_SECONDS": "1"})
    site.start("launched")
    site.wait("launched", lambda row: row["generation"] == 1)
    os.kill(site.program("worker").pid, 9)
    ready = site.wait_for("launched", "ready")
    assert ready["generation"] == 1
    assert site.history("launched") == ["pending", "starting", "ready"]
    assert site.launches("launched") == [ready["submission_id"]]


def asked_of(base_url: str) -> int:
    """Return how many chats a scripted engine was asked for."""
    seen = httpx.get(f"{base_url.removesuffix('/v1')}/requests", trust_env=False).json()["requests"]
    return sum(request["path"] == "/v1/chat/completions" for request in seen)


def test_streams_go_on_while_worker_and_beat_are_killed(site: Site) -> None:
    site.api("POST", "profiles/", {"name": "policy"})
    scripted = engine_scripted.executable(site.host.data_dir)
    before = site.ready("streams", ray_worker_py_executable=scripted, profiles=["policy"])
    with ThreadPoolExecutor(4) as clients:
        streams = [clients.submit(ask, site, "policy", input=STREAM, stream=True) for _ in range(4)]
        until(lambda: asked_of(before["base_url"]) == len(streams), 90, site.host.logs)
        for program in ("worker", "beat"):
            os.kill(site.program(program).pid, 9)
        for stream in streams:
            assert "event: response.completed" in stream.result().text
    until(lambda: bool(site.programs("worker") and site.programs("beat")), 90, site.host.printed)
    # Whoever came back looks after the engine again.
    failed = site.notices("streams", kill(site.server("streams")))
    assert failed["generation"] == before["generation"] == 1


def test_a_control_plane_that_is_killed_and_started_again_adopts_what_runs(site: Site) -> None:
    before = site.ready("adopted")
    server, head = site.server("adopted"), site.head
    process = site.host.process
    assert process
    children = site.programs("")
    process.kill()
    process.wait()
    until(lambda: not any(child.is_running() for child in children), 120, lambda: str(children))
    site.host.start()
    site.host.wait_for("ready; Ctrl-C ends everything", 150)
    after = site.engine("adopted")
    assert (after["state"], after["generation"], after["base_url"]) == ("ready", 1, before["base_url"])
    assert (site.server("adopted"), site.head) == (server, head)
    site.notices("adopted", kill(server))


def test_a_ray_head_that_is_killed_is_replaced_and_its_engines_start_again(site: Site) -> None:
    site.ready("survivor")
    head = site.head
    failed = site.notices("survivor", kill(head.pid))
    assert failed["state_reason"] == "The Ray head is gone, and the job with it."
    site.start("survivor")  # without waiting for the back-off
    ready = site.wait_for("survivor", "ready")
    assert ready["generation"] == 2
    assert site.head.pid != head.pid
