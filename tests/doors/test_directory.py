"""The gateway's view of the configuration."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
from django.db import OperationalError, connections
from pytest_django import Settings

from endpoints.models import ApiKey, ConfigProfile, Endpoint
from responses_api.directory import Directory, load
from responses_api.errors import UnavailableError
from responses_api.snapshot import Snapshot

pytestmark = pytest.mark.django_db(transaction=True)

T = TypeVar("T")


def run(work: Callable[[Directory], Awaitable[T]], directory: Directory | None = None) -> T:
    async def main() -> T:
        used = directory or Directory()
        try:
            return await work(used)
        finally:
            await used.close()

    return asyncio.run(main())


def edit(work: Callable[[], object]) -> None:
    try:
        work()
    finally:
        connections.close_all()


def test_a_snapshot_holds_what_the_gateway_needs() -> None:
    profile = ConfigProfile.objects.create(
        name="tiny",
        upstream_model="Qwen/tiny",
        extra_body={"top_k": 3, "stream": True},
        sampling_overrides={"temperature": 1.0, "model": "x"},
        context_overflow="error",
        uses_reasoning_parser=False,
        request_timeout_seconds=60,
    )
    ConfigProfile.objects.create(name="off", enabled=False)
    good = Endpoint.objects.create(name="good", base_url="http://good/v1", api_key="secret", max_model_len=2048)
    busy = Endpoint.objects.create(name="busy", base_url="http://busy/v1", draining=True, max_model_len=1024)
    sick = Endpoint.objects.create(name="sick", base_url="http://sick/v1", health="unhealthy", health_reason="refused")
    off = Endpoint.objects.create(name="off", base_url="http://off/v1", enabled=False)
    Endpoint.objects.create(name="elsewhere", base_url="http://elsewhere/v1")
    profile.endpoints.set([good, busy, sick, off])
    anybody, _ = ApiKey.issue(name="anybody")
    narrow, _ = ApiKey.issue(name="narrow", scope_gateway=False)
    narrow.profiles.add(ConfigProfile.objects.create(name="other"))
    ApiKey.issue(name="disabled", enabled=False)

    snapshot = load()

    assert set(snapshot.profiles) == {"tiny", "other"}
    view = snapshot.profiles["tiny"]
    assert set(view.usable) == {good.pk, busy.pk}
    assert view.open_to_new == {good.pk: "good"}
    assert view.unusable == {sick.pk: "sick is unhealthy: refused", off.pk: "off is disabled"}
    assert view.usable[good.pk].url("chat/completions") == "http://good/v1/chat/completions"
    assert view.usable[good.pk].url("/tokenize") == "http://good/tokenize"
    assert len(snapshot.endpoint_names) == 5
    assert (view.usable[good.pk].api_key, view.max_model_len, view.timeout_seconds) == ("secret", 1024, 60)
    settings = view.settings
    assert (settings.name, settings.engine_model, settings.context_overflow) == ("tiny", "Qwen/tiny", "error")
    assert (settings.extra_body, settings.sampling_overrides) == ({"top_k": 3}, {"temperature": 1.0})
    assert snapshot.profiles["other"].settings.engine_model == "other"
    assert snapshot.profiles["other"].max_model_len is None
    assert set(snapshot.callers) == {anybody.digest, narrow.digest}
    assert snapshot.callers[anybody.digest].may_use(view)
    assert not snapshot.callers[narrow.digest].may_use(view)
    assert not snapshot.callers[narrow.digest].may_call


def test_a_key_that_cannot_be_decrypted_takes_its_endpoint_alone_out(settings: Settings) -> None:
    ours, settings.SECRET_KEY = settings.SECRET_KEY, "another" * 8
    locked = Endpoint.objects.create(name="locked", base_url="http://locked/v1", api_key="secret")
    settings.SECRET_KEY = ours
    good = Endpoint.objects.create(name="good", base_url="http://good/v1", api_key="secret")
    ConfigProfile.objects.create(name="tiny").endpoints.set([locked, good])

    view = load().profiles["tiny"]

    assert list(view.usable) == [good.pk]
    assert view.unusable == {locked.pk: "locked has a key that cannot be decrypted: set it anew"}


def test_an_edit_is_seen_within_about_a_second() -> None:
    async def work(directory: Directory) -> float:
        assert (await directory.snapshot()).profiles == {}
        await asyncio.to_thread(edit, lambda: ConfigProfile.objects.create(name="tiny"))
        started = time.monotonic()
        while "tiny" not in (await directory.snapshot()).profiles:
            assert time.monotonic() - started < 30
            await asyncio.sleep(0.01)
        return time.monotonic() - started

    assert run(work) < 8  # a machine that is busy has room; nothing but the refresh looks at all


def test_the_first_calls_wait_for_one_reading() -> None:
    readings = 0

    def slow() -> Snapshot:
        nonlocal readings
        readings += 1
        time.sleep(0.1)
        return load()

    async def work(directory: Directory) -> list[Snapshot]:
        return list(await asyncio.gather(*(directory.snapshot() for _ in range(50))))

    snapshots = run(work, Directory(read=slow))
    assert readings == 1
    assert all(snapshot is snapshots[0] for snapshot in snapshots)


def test_the_last_snapshot_serves_while_the_database_is_away(caplog: pytest.LogCaptureFixture) -> None:
    away = False

    def flaky() -> Snapshot:
        if away:
            raise OperationalError("the database is away")
        return load()

    async def work(directory: Directory) -> None:
        nonlocal away
        first = await directory.snapshot()
        away = True
        deadline = time.monotonic() + 30
        while not caplog.records:  # it has noticed
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        assert (await directory.snapshot()).profiles == first.profiles
        await asyncio.to_thread(edit, lambda: ConfigProfile.objects.create(name="tiny"))
        away = False
        deadline = time.monotonic() + 30
        while "tiny" not in (await directory.snapshot()).profiles:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)

    with caplog.at_level(logging.INFO, logger="responses_api.directory"):
        run(work, Directory(read=flaky, refresh_seconds=0.03))
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]


def test_without_any_snapshot_callers_are_told_so() -> None:
    away = True

    def flaky() -> Snapshot:
        if away:
            raise OperationalError("the database is away")
        return load()

    async def work(directory: Directory) -> Snapshot:
        nonlocal away
        for _ in range(2):
            with pytest.raises(UnavailableError):
                await directory.snapshot()
        away = False
        deadline = time.monotonic() + 30
        while True:
            try:
                return await directory.snapshot()
            except UnavailableError:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.01)

    run(work, Directory(read=flaky, refresh_seconds=0.03))
