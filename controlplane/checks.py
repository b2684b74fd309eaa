"""System checks for settings that are each fine and wrong together. Every one has an id and a hint."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004  (Django's name)

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
MIN_SECRET_LENGTH = 32


def _is_sqlite() -> bool:
    return bool(settings.DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3")


@register(Tags.compatibility)
def check_shared_broker_on_sqlite(*, app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """E001: a broker that several hosts can share, over a database that only one host has."""
    if not _is_sqlite() or settings.CELERY_BROKER_URL == settings.FILE_BROKER:
        return []
    return [
        Error(
            "CELERY_BROKER_URL names a broker that several hosts can share, but the database is SQLite, "
            "which lives on one host.",
            hint="Set DATABASE_URL to a PostgreSQL database, or unset CELERY_BROKER_URL.",
            id="roundhouse.E001",
        )
    ]


@register(Tags.compatibility)
def check_file_broker_on_shared_database(
    *, app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[CheckMessage]:
    """W001: a database that several hosts can share, over a broker that only one host sees."""
    if _is_sqlite() or settings.CELERY_BROKER_URL != settings.FILE_BROKER:
        return []
    return [
        Warning(
            "The database can be shared by several hosts, but tasks travel through files in the data directory.",
            hint="Set CELERY_BROKER_URL to Redis or RabbitMQ before you add a second host.",
            id="roundhouse.W001",
        )
    ]


@register(Tags.security)
def check_public_bind(*, app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """E002, E003: what must not be so once other machines can reach the port."""
    if settings.HOST in LOOPBACK:
        return []
    found: list[CheckMessage] = []
    if len(settings.SECRET_KEY) < MIN_SECRET_LENGTH or settings.SECRET_KEY.startswith("django-insecure"):
        found.append(
            Error(
                f"ROUNDHOUSE_HOST={settings.HOST} is reachable by other machines, but the secret key is weak.",
                hint="Unset ROUNDHOUSE_SECRET_KEY (a key is then made in the data directory) or set 50 random ones.",
                id="roundhouse.E002",
            )
        )
    if settings.DEBUG:
        found.append(
            Error(
                f"ROUNDHOUSE_HOST={settings.HOST} is reachable by other machines, but ROUNDHOUSE_DEBUG shows them "
                "source code and settings.",
                hint="Set ROUNDHOUSE_DEBUG=false.",
                id="roundhouse.E003",
            )
        )
    return found


@register(Tags.security)
def check_allowed_hosts(*, app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """W002: bound publicly, yet only loopback names are answered."""
    if settings.HOST in LOOPBACK or any(host not in {*LOOPBACK, "[::1]"} for host in settings.ALLOWED_HOSTS):
        return []
    return [
        Warning(
            f"ROUNDHOUSE_HOST={settings.HOST} is reachable by other machines, but the admin and the control API only "
            "answer to loopback names.",
            hint="Set ROUNDHOUSE_ALLOWED_HOSTS to the names under which people reach it.",
            id="roundhouse.W002",
        )
    ]


@register(Tags.compatibility)
def check_ray_address(*, app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """E004: the Jobs API is HTTP; a `ray://` or host:port address is for another of Ray's servers."""
    address = settings.RAY_ADDRESS
    if not address or address.startswith(("http://", "https://")):
        return []
    return [
        Error(
            f"ROUNDHOUSE_RAY_ADDRESS={address} is not the URL of a Ray dashboard.",
            hint="Set it to the dashboard's URL, for example http://ray-head:8265, or unset it to use a local Ray.",
            id="roundhouse.E004",
        )
    ]
