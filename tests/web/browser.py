"""A real browser, in which somebody is signed in."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connections
from playwright.sync_api import Page, expect, sync_playwright

SECONDS = 30  # until what is expected is there, while the machine does other things
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


@contextmanager
def browsing(
    origin: str, session: str, *, javascript: bool = True, dark: bool = False, width: int = 1280
) -> Iterator[Page]:
    """Yield a page that carries the session's cookie; skip where there is no browser. Nothing may go wrong in it."""
    found = os.environ.get("ROUNDHOUSE_TEST_BROWSER")
    if not found:
        pytest.skip("no Chromium found; set ROUNDHOUSE_TEST_BROWSER to its path")
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        # Playwright turns an event loop in this thread, in which the test goes on using the ORM.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS, timeout=90_000)
        try:
            context = browser.new_context(
                base_url=origin,
                java_script_enabled=javascript,
                color_scheme="dark" if dark else "light",
                viewport={"width": width, "height": 900},
            )
            context.add_cookies([{"name": "roundhouse_admin", "value": session, "url": origin}])
            page = context.new_page()
            page.set_default_timeout(SECONDS * 1000)
            expect.set_options(timeout=SECONDS * 1000)
            errors: list[str] = []
            page.on("pageerror", lambda error: errors.append(str(error)))
            yield page
            assert errors == []
        finally:
            browser.close()
            connections.close_all()  # beside that loop, Django has opened others than the test's own
