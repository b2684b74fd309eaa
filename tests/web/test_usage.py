"""What was used: the page, its CSV and the control API say the same, to whom they should."""

import csv
import io
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from endpoints.models import ApiKey
from tests.web.surfaces import control_client, make_profile, make_user, record, signed_in, text

pytestmark = pytest.mark.django_db

PAGE, CSV, API = "/monitor/usage/", "/monitor/usage.csv", "/api/v1/usage/"
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SPAN: dict[str, str | int] = {"since": "2026-03-01T00:00:00Z", "until": "2026-03-02T00:00:00Z"}


@pytest.fixture
def staff() -> Client:
    return signed_in(make_user("staff"))


def some_use(at: datetime | None = None) -> None:
    """Three answers of two models, endpoints and keys: one empty, one failed, one of 2 seconds."""
    at = at or timezone.now() - timedelta(minutes=1)  # one for all, in whatever parts of time they are counted
    record(input_tokens=100, cached_tokens=40, output_tokens=20, reasoning_tokens=5, duration_ms=2_000, at=at)
    record(empty_cause="no_tokens", endpoint_name="gpu-2", input_tokens=10, at=at)
    record(profile_name="org/judge:1", endpoint_name="", caller_name="eval", status="failed", http_status=503, at=at)


def tiles(answer: Any) -> list[str]:
    return re.findall(r'class="rh-tile">.*?<b>(.*?)</b>', text(answer))


def rows(answer: Any) -> list[dict[str, str]]:
    return [*csv.DictReader(io.StringIO(text(answer)))]


# The page


def test_it_is_for_staff_and_the_navigation_leads_to_it(client: Client, staff: Client) -> None:
    for path in (PAGE, CSV):
        assert client.get(path).headers["Location"] == f"/admin/login/?next={path}"
        assert signed_in(make_user(f"guest of {path}", staff=False)).get(path).status_code == 302
        assert staff.post(path).status_code == 405
    assert f'href="{PAGE}"' in text(staff.get("/admin/"))


def test_it_says_what_to_do_while_there_is_nothing_to_show(staff: Client) -> None:
    assert "there is none yet" in text(staff.get(PAGE))
    make_profile("tiny")
    assert "Send a first request" in text(staff.get(PAGE))
    record(ago=timedelta(days=3))
    assert "No requests in this window" in text(staff.get(PAGE))
    assert "everything that was used in it" in text(staff.get(PAGE, {"profile": "other"}))


def test_the_sums_of_the_window_are_shown(staff: Client) -> None:
    some_use()
    record(ago=timedelta(days=3), input_tokens=1_000_000)
    answer = staff.get(PAGE)
    assert tiles(answer) == ["3", "110", "20", "1", "1", "250 ms"]
    assert tiles(staff.get(PAGE, {"window": "7d"}))[:2] == ["4", "1 M"]
    assert [(name, sums.requests) for name, sums in answer.context["report"].names] == [("tiny", 2), ("org/judge:1", 1)]


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("profile", ["tiny", "org/judge:1"]),
        ("endpoint", ["no endpoint", "gpu-1", "gpu-2"]),
        ("key", ["quickstart", "eval"]),
        ("nonsense", ["tiny", "org/judge:1"]),
    ],
)
def test_it_is_told_apart_by_model_endpoint_and_key(staff: Client, by: str, names: list[str]) -> None:
    some_use()
    answer = staff.get(PAGE, {"by": by})
    assert [row["name"] for row in answer.context["rows"]] == names
    assert [series.name for series in answer.context["names"]] == names


def test_one_model_endpoint_or_key_is_chosen_and_the_others_stay_choosable(staff: Client) -> None:
    some_use()
    answer = staff.get(PAGE, {"key": "eval", "by": "profile"})
    assert tiles(answer)[0] == "1"
    assert {each["name"]: each["values"] for each in answer.context["filters"]} == {
        "profile": ["org/judge:1", "tiny"],
        "endpoint": ["gpu-1", "gpu-2"],
        "key": ["eval", "quickstart"],
    }
    assert tiles(staff.get(PAGE, {"profile": "tiny", "endpoint": "gpu-2"}))[0] == "1"


def test_many_names_share_the_last_colour_and_all_are_in_the_table(staff: Client) -> None:
    at = timezone.now() - timedelta(minutes=1)
    for number in range(9):
        record(profile_name=f"model-{number}", at=at)
    answer = staff.get(PAGE)
    assert [series.name for series in answer.context["names"]][-2:] == ["model-5", "3 others"]
    assert len(answer.context["rows"]) == 9
    requests = answer.context["panels"][0]
    assert sum(block.height for column in requests.plot.columns for block in column.blocks) == pytest.approx(
        90, abs=0.1
    )


@pytest.mark.parametrize("query", [{"profile": "nul\0inside"}, {"key": "<script>alert(1)</script>"}, {"window": "x"}])
def test_an_address_that_makes_no_sense_shows_a_page(staff: Client, query: dict[str, str]) -> None:
    some_use()
    answer = staff.get(PAGE, query)
    assert answer.status_code == 200
    assert "<script>alert(1)" not in text(answer)


def test_it_costs_the_same_queries_however_much_there_is(
    staff: Client, django_assert_max_num_queries: Callable[[int], Any]
) -> None:
    for number in range(20):
        record(profile_name=f"model-{number}")
    # The session, the user, two for permissions, the sums, the names, an example model.
    with django_assert_max_num_queries(7):
        staff.get(PAGE)


# CSV


def test_the_csv_has_what_the_page_shows(staff: Client) -> None:
    some_use()
    answer = staff.get(CSV, {"by": "key", "window": "1h"})
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert re.search(r'^attachment; filename="usage-1h-by-key-\d+T\d+\.csv"$', answer.headers["Content-Disposition"])
    found = rows(answer)
    assert {(row["key"], row["requests"], row["empties"], row["errors"]) for row in found} == {
        ("quickstart", "2", "1", "0"),
        ("eval", "1", "0", "1"),
    }
    assert found[0]["from_utc"].endswith("00Z")
    assert rows(staff.get(CSV, {"key": "nobody"})) == []


def test_no_spreadsheet_takes_a_name_for_a_formula(staff: Client) -> None:
    record(caller_name="=1+2")
    assert [row["key"] for row in rows(staff.get(CSV, {"by": "key"}))] == ["'=1+2"]


# The control API


def test_the_api_is_for_keys_of_the_control_api_and_for_staff(client: Client, staff: Client) -> None:
    assert client.get(API).status_code == 401
    assert signed_in(make_user("guest", staff=False)).get(API).status_code == 403
    _, plain = ApiKey.issue(name="gateway only")
    assert client.get(API, headers={"authorization": f"Bearer {plain}"}).status_code == 403
    assert staff.get(API).status_code == 200
    assert staff.post(API).status_code in {403, 405}
    assert control_client().post(API).status_code == 405


def test_the_api_counts_in_parts_of_time() -> None:
    some_use(NOON)
    some_use(NOON + timedelta(minutes=61))
    api = control_client()
    by_hour = api.get(API, {**SPAN, "by": "key"}).json()
    assert by_hour["count"] == 4
    assert [(row["start"], row["key"], row["requests"]) for row in by_hour["results"]] == [
        ("2026-03-01T12:00:00Z", "eval", 1),
        ("2026-03-01T12:00:00Z", "quickstart", 2),
        ("2026-03-01T13:00:00Z", "eval", 1),
        ("2026-03-01T13:00:00Z", "quickstart", 2),
    ]
    whole = api.get(API, {**SPAN, "bucket": "all", "by": "profile", "profile": "tiny"}).json()["results"]
    assert whole == [
        {
            "start": "2026-03-01T00:00:00Z",
            "profile": "tiny",
            "endpoint": None,
            "key": None,
            "cause": None,
            "requests": 4,
            "errors": 0,
            "empties": 2,
            "input_tokens": 220,
            "cached_tokens": 80,
            "output_tokens": 40,
            "reasoning_tokens": 10,
            "duration_ms": 4_240,
            "engine_ms": 0,
            "latency": {
                "mean_ms": 1_060.0,
                "p50_ms": 300.0,
                "p95_ms": pytest.approx(2_800),
                "steps": {
                    "100": 0,
                    "300": 2,
                    "1000": 0,
                    "3000": 2,
                    "10000": 0,
                    "30000": 0,
                    "100000": 0,
                    "300000": 0,
                    "longer": 0,
                },
            },
        }
    ]


@pytest.mark.parametrize(
    ("query", "requests"),
    [
        ({"endpoint": "gpu-2"}, [1]),
        ({"cause": "no_tokens", "by": "cause"}, [1]),
        ({"by": "profile,endpoint,profile"}, [1, 1, 1]),
        ({"since": "2026-03-01T12:00:00Z"}, [1, 2]),
        ({"since": "2026-03-01T12:01:00Z"}, []),
        ({"until": "2026-03-01T12:00:00Z"}, []),
        ({"bucket": "day", "by": "endpoint"}, [1, 1, 1]),
        ({"bucket": "minute", "key": "quickstart"}, [2]),
    ],
)
def test_the_api_counts_what_is_asked_for(query: dict[str, str], requests: list[int]) -> None:
    some_use(NOON)
    found = control_client().get(API, {**SPAN, **query}).json()["results"]
    assert [row["requests"] for row in found] == requests


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"by": "colour"}, "by"),
        ({"by": ""}, "by"),
        ({"bucket": "week"}, "bucket"),
        ({"since": "yesterday"}, "since"),
        ({"since": "2026-03-03T00:00:00Z"}, "since"),
        ({"profil": "tiny"}, "profil"),
    ],
)
def test_the_api_refuses_what_it_would_misunderstand(query: dict[str, str], field: str) -> None:
    answer = control_client().get(API, {**SPAN, **query})
    assert answer.status_code == 400
    assert [*answer.json()] == [field]


def test_the_api_gives_pages() -> None:
    some_use(NOON)
    api = control_client()
    first = api.get(API, {**SPAN, "by": "endpoint", "page_size": 2}).json()
    assert (first["count"], len(first["results"])) == (3, 2)
    second = api.get(first["next"]).json()
    assert (len(second["results"]), second["next"]) == (1, None)
    assert api.get(API, {**SPAN, "page": 9}).status_code == 404


def test_without_a_span_the_last_day_is_counted() -> None:
    record()
    record(ago=timedelta(hours=25))
    assert [row["requests"] for row in control_client().get(API, {"bucket": "all"}).json()["results"]] == [1]
