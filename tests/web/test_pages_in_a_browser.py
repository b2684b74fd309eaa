"""The pages in a real browser, as wide as a telephone, by keyboard and by the names that a screen reader says."""

import pytest
from playwright.sync_api import Page

from controlplane.asgi import application
from launcher.states import State
from tests.fakes.uvicorn_thread import UvicornThread
from tests.web.browser import browsing
from tests.web.live_log import session_of
from tests.web.surfaces import make_endpoint, make_engine, make_user, put_in_state, record

WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def assert_fits(page: Page) -> None:
    """Nothing is wider than the page, once its styles are there."""
    page.wait_for_load_state()
    assert page.evaluate(WIDER) == 0


@pytest.mark.django_db(transaction=True)
def test_everything_is_reached_by_keyboard_named_by_words_and_fits_a_telephone() -> None:
    put_in_state(make_engine("tiny"), State.FAILED, state_reason="CUDA out of memory")
    make_endpoint(health="unhealthy", health_reason="GET /health answers HTTP 500.")
    record(profile_name="a-model-with-a-name-that-is-quite-long-for-such-a-narrow-screen", empty_cause="no_tokens")
    session = session_of(make_user("root", superuser=True))
    with UvicornThread(application, lifespan="on") as server:
        with browsing(f"http://127.0.0.1:{server.port}", session, width=400) as page:
            page.goto("/admin/")
            for why in ("CUDA out of memory", "GET /health answers HTTP 500."):
                found = page.get_by_text(why).bounding_box()
                assert found is not None
                assert found["x"] + found["width"] <= 400
            assert_fits(page)

            page.get_by_role("button", name="Navigation").focus()
            page.keyboard.press("Enter")
            page.get_by_role("link", name="Usage", exact=True).click()
            page.get_by_role("main").get_by_role("img", name="Requests over time").wait_for()
            assert_fits(page)

            page.goto("/admin/launcher/engine/")
            page.get_by_role("link", name="tiny", exact=True).click()
            page.get_by_role("button", name="Start", exact=True).wait_for()
            assert_fits(page)
        server.stop()
