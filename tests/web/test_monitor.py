"""The page of empty answers: what it counts, what it shows, who sees it."""

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from endpoints.models import ApiKey
from responses_api.models import ResponseRecord, Session
from responses_api.monitor import chart, queries
from responses_api.monitor.queries import WINDOWS, Bucket
from responses_api.verdict import ADVICE, Cause
from tests.web.surfaces import make_profile, make_user, record, signed_in

pytestmark = pytest.mark.django_db

PAGE = "/monitor/empty-responses/"
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def staff() -> Client:
    return signed_in(make_user("staff"))


def text(answer: Any) -> str:
    assert answer.status_code == 200
    return re.sub(r"\s+", " ", answer.content.decode())


def tiles(answer: Any) -> list[str]:
    return re.findall(r'class="rh-tile">.*?<b>(.*?)</b>', text(answer))


# Who sees it


def test_it_is_for_staff(client: Client, staff: Client) -> None:
    assert client.get(PAGE).headers["Location"] == f"/admin/login/?next={PAGE}"
    assert signed_in(make_user("guest", staff=False)).get(PAGE).status_code == 302
    assert staff.get(PAGE).status_code == 200
    assert staff.post(PAGE).status_code == 405


def test_the_admins_navigation_leads_to_it_and_it_has_the_navigation(staff: Client) -> None:
    assert f'href="{PAGE}"' in text(staff.get("/admin/"))
    assert 'href="/admin/"' in text(staff.get(PAGE))


# Empty states


def test_before_the_first_answer_it_says_how_to_get_one(staff: Client) -> None:
    assert "there is none yet" in text(staff.get(PAGE))
    make_profile("tiny")
    shown = text(staff.get(PAGE))
    assert "curl http://testserver/v1/responses" in shown
    assert "&quot;model&quot;: &quot;tiny&quot;" in shown or '"model": "tiny"' in shown


def test_a_window_without_answers_is_told_from_one_without_empties(staff: Client) -> None:
    record(ago=timedelta(days=3), empty_cause="no_tokens")
    assert "No answers in this window" in text(staff.get(PAGE))
    record()
    assert "No empty answers in this window" in text(staff.get(PAGE))
    assert "By model and cause" in text(staff.get(PAGE, {"window": "7d"}))


# Counts


def test_counts_rates_causes_engines_and_advice(staff: Client) -> None:
    for _ in range(3):
        record()
    record(empty_cause="context_overflow", status="incomplete", endpoint_name="gpu-1")
    record(empty_cause="context_overflow", status="incomplete", endpoint_name="gpu-2")
    record(empty_cause="no_tokens", profile_name="judge")
    record(status="failed", http_status=503, error_code="engine_unavailable")
    answer = staff.get(PAGE)
    assert tiles(answer) == ["6", "3", "50 %", "1"]
    rows = {(row.model, row.cause): row for row in answer.context["summary"].rows}
    assert rows.keys() == {("tiny", "context_overflow"), ("judge", "no_tokens")}
    overflow = rows[("tiny", "context_overflow")]
    assert (overflow.empties, overflow.answers, overflow.rate) == (2, 5, 0.4)
    assert overflow.engines == {"gpu-1": 1, "gpu-2": 1}
    shown = text(answer)
    assert "40 %" in shown
    assert "Raise max_model_len" in shown
    assert ADVICE[Cause.REFUSAL] not in shown


def test_how_much_did_not_fit_is_shown_with_the_case(staff: Client) -> None:
    record(empty_cause="context_overflow", input_tokens=2300, asked_tokens=10, context_limit=2048, detail="too long")
    assert "needs 2,310 of 2,048 tokens" in text(staff.get(PAGE, {"cause": "context_overflow"}))


def test_a_request_that_failed_by_being_empty_is_an_empty_answer(staff: Client) -> None:
    record(empty_cause="context_overflow", status="failed", http_status=400)
    assert tiles(staff.get(PAGE)) == ["1", "1", "100 %", "0"]


@pytest.mark.parametrize(("window", "count"), [("1h", 1), ("24h", 2), ("7d", 3), ("30d", 4), ("nonsense", 2), ("", 2)])
def test_the_window_is_chosen(staff: Client, window: str, count: int) -> None:
    for ago in (timedelta(minutes=5), timedelta(hours=5), timedelta(days=5), timedelta(days=25), timedelta(days=35)):
        record(ago=ago, empty_cause="no_tokens")
    assert tiles(staff.get(PAGE, {"window": window}))[1] == str(count)


def test_the_model_is_chosen_and_the_others_stay_choosable(staff: Client) -> None:
    record(empty_cause="no_tokens")
    record(empty_cause="no_tokens", profile_name="org/judge:1.0")
    record(profile_name="org/judge:1.0")
    answer = staff.get(PAGE, {"model": "org/judge:1.0"})
    assert tiles(answer)[:3] == ["2", "1", "50 %"]
    assert answer.context["models"] == ["org/judge:1.0", "tiny"]
    assert {case.profile_name for case in answer.context["cases"]} == {"org/judge:1.0"}


@pytest.mark.parametrize(
    "query",
    [
        {"page": "-1"},
        {"page": "x"},
        {"page": "99999999999999999999"},
        {"page": "٣"},
        {"cause": "nonsense"},
        {"model": "nowhere"},
        {"model": "nul\0inside"},
        {"model": "<script>alert(1)</script>"},
    ],
)
def test_an_address_that_makes_no_sense_shows_a_page(staff: Client, query: dict[str, str]) -> None:
    record(empty_cause="no_tokens")
    assert "<script>alert(1)" not in text(staff.get(PAGE, query))


# The latest cases


def test_a_case_leads_to_its_row_and_its_session(staff: Client) -> None:
    key, _ = ApiKey.issue(name="rollouts")
    now = timezone.now()
    session = Session.objects.create(
        profile=make_profile(), caller=key, key="rollout-7", created_at=now, last_seen_at=now
    )
    row = record(
        session=session,
        empty_cause="context_overflow",
        detail="maximum <context> length is 2048",
        input_tokens=2100,
        output_tokens=0,
    )
    shown = text(staff.get(PAGE))
    assert reverse("admin:responses_api_responserecord_change", args=[row.pk]) in shown
    assert reverse("admin:responses_api_session_change", args=[session.pk]) in shown
    for part in ("rollout-7", "maximum &lt;context&gt; length is 2048", "2,100"):
        assert part in shown


def test_cases_come_newest_first_in_pages_of_one_cause(staff: Client) -> None:
    for minute in range(30):
        record(ago=timedelta(minutes=minute + 1), empty_cause="no_tokens", response_id=f"resp_n{minute}")
        record(ago=timedelta(minutes=minute + 1), empty_cause="refusal", response_id=f"resp_r{minute}")
        record(ago=timedelta(minutes=minute + 1), response_id=f"resp_full{minute}")

    def ids(**query: str | int) -> list[str]:
        return [case.response_id for case in staff.get(PAGE, query).context["cases"]]

    assert ids(cause="no_tokens") == [f"resp_n{minute}" for minute in range(25)]
    second = staff.get(PAGE, {"cause": "no_tokens", "page": "2"})
    assert [case.response_id for case in second.context["cases"]] == [f"resp_n{minute}" for minute in range(25, 30)]
    assert second.context["older_query"] == ""
    assert second.context["newer_query"] == "?window=24h&cause=no_tokens"
    assert len(ids()) == 25
    assert len(ids(page=3)) == 10


def test_the_page_costs_the_same_queries_however_much_there_is(
    staff: Client, django_assert_max_num_queries: Any
) -> None:
    for number in range(40):
        record(empty_cause="no_tokens", profile_name=f"model-{number}")
    # The session, the user, two for permissions, an example model, the counts, the chart, the cases.
    with django_assert_max_num_queries(8):
        staff.get(PAGE)


# The chart


def test_buckets_hold_every_row_of_the_window_once() -> None:
    window = WINDOWS["24h"]
    record(at=NOON)
    record(at=NOON - timedelta(milliseconds=1), empty_cause="no_tokens")
    record(at=NOON - timedelta(minutes=29, seconds=59, milliseconds=999))
    record(at=NOON - timedelta(hours=23, minutes=59))
    record(at=NOON - timedelta(hours=24, seconds=1))
    record(at=NOON - timedelta(minutes=31), status="failed")
    found = queries.buckets(window, NOON)
    assert len(found) == 49
    assert found[0].start == NOON - timedelta(hours=24)
    assert [(bucket.answers, bucket.empties) for bucket in (found[0], found[-3], found[-2], found[-1])] == [
        (1, 0),
        (0, 0),
        (2, 1),
        (1, 0),
    ]


@pytest.mark.parametrize("window", WINDOWS.values(), ids=list(WINDOWS))
def test_every_window_is_cut_into_a_readable_number_of_bars(window: queries.Window) -> None:
    found = queries.buckets(window, timezone.now())
    assert 25 <= len(found) <= 60
    assert {later.start - earlier.start for earlier, later in pairwise(found)} == {window.bucket}


def bucket(answers: int, empties: int) -> Bucket:
    return Bucket(start=NOON, answers=answers, empties=empties)


def test_the_highest_bar_fills_the_chart_and_gaps_break_the_line() -> None:
    drawn = chart.draw([bucket(10, 1), bucket(10, 4), bucket(0, 0), bucket(4, 0)])
    assert [(bar.top, bar.height) for bar in drawn.bars] == [(75, 25), (0, 100), (100, 0), (100, 0)]
    assert (drawn.most, drawn.highest_rate) == (4, 0.5)
    assert drawn.lines == ["125.00,80.00 375.00,20.00", "812.50,100.00 937.50,100.00"]


def test_a_chart_of_nothing_has_no_shape() -> None:
    drawn = chart.draw([bucket(0, 0)])
    assert (drawn.most, drawn.lines, drawn.bars[0].height) == (0, [], 0)
    assert chart.draw([]).bars == []


def test_the_chart_has_its_numbers_as_a_table_too(staff: Client) -> None:
    record(empty_cause="no_tokens")
    shown = text(staff.get(PAGE))
    assert shown.count('role="img"') == 2
    assert "The numbers as a table" in shown
    assert "1 of 1 empty (100 %)" in shown


def test_every_cause_has_advice_and_a_state_in_the_ledger() -> None:
    assert set(ADVICE) == set(Cause)
    for cause in Cause:
        record(empty_cause=cause)
    assert ResponseRecord.objects.exclude(empty_cause="").count() == len(Cause)
