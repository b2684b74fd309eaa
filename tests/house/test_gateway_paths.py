"""The reference of the gateway's paths is compared with its routing."""

import re
from typing import Any

from responses_api import routing
from tests.house.test_docs import ROOT, table_rows


def methods_of(consumer: Any) -> str:
    """Return the methods of a path, as the reference writes them."""
    return "`, `".join(getattr(consumer, "handlers", None) or [consumer.method])


def paths_of(pattern: str) -> list[str]:
    """Return what a pattern matches, as the reference writes it."""
    path = re.sub(r"\(\?P<(\w+)>[^)]*\)", r"{\1}", pattern.removeprefix("^").removesuffix("$").removesuffix("/?"))
    below = path.removeprefix("(?:v1/)?")
    return [f"/{path}"] if below == path else [f"/{below}", f"/v1/{below}"]


def test_every_path_is_documented_with_its_methods() -> None:
    *known, unknown = routing.http_urlpatterns
    assert unknown.pattern.regex.pattern == "^v1(?:/|$)"
    routed = {
        (path, methods_of(route.callback.consumer_class))
        for route in known
        for path in paths_of(route.pattern.regex.pattern)
    }
    routed |= {(path, "WebSocket") for route in routing.websocket_urlpatterns for path in paths_of(str(route.pattern))}
    rows = table_rows((ROOT / "docs/reference/gateway-api.md").read_text(), "Paths")
    assert {(path, methods) for path, methods, _ in rows} == routed
    assert all(what for *_, what in rows)
