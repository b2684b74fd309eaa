"""Django settings, read once from the environment. `docs/settings.md` lists every variable; a test compares the two."""

import os
from pathlib import Path
from typing import Any

import dj_database_url

from controlplane import env
from controlplane.datadir import DataDir

READER = env.Reader(os.environ)

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = DataDir(READER.path("ROUNDHOUSE_DATA_DIR", "./var"))

HOST = READER.text("ROUNDHOUSE_HOST", "127.0.0.1")
PORT = READER.whole("PORT", 8080, low=1, high=65535)
WEB_WORKERS = READER.whole("ROUNDHOUSE_WEB_WORKERS", 1, low=1, high=64)

DEBUG = READER.flag("ROUNDHOUSE_DEBUG")
SECRET_KEY = READER.text("ROUNDHOUSE_SECRET_KEY") or DATA_DIR.read_or_make_secret_key()
ALLOWED_HOSTS = READER.words("ROUNDHOUSE_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = READER.words("ROUNDHOUSE_CSRF_TRUSTED_ORIGINS")
SECURE_COOKIES = READER.flag("ROUNDHOUSE_SECURE_COOKIES")
SESSION_COOKIE_SECURE = SECURE_COOKIES
CSRF_COOKIE_SECURE = SECURE_COOKIES
SESSION_COOKIE_NAME = "roundhouse_admin"
SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"

INSTALLED_APPS = [
    "daphne",
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "controlplane",
    "endpoints",
    "launcher",
    "responses_api",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "controlplane.urls"
ASGI_APPLICATION = "controlplane.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASE_URL = READER.text("DATABASE_URL", f"sqlite:///{DATA_DIR.database}")
try:
    DATABASES: dict[str, Any] = {"default": dj_database_url.parse(DATABASE_URL, conn_max_age=0)}
except ValueError:  # without the URL: it may hold a password
    raise env.SettingError(
        "DATABASE_URL is not a database URL: set it to postgres://user:password@host:5432/name, or unset it for SQLite."
    ) from None
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # WAL lets readers go on while the ledger writes; IMMEDIATE takes the write lock at once, so that a
    # transaction never fails half-way with "database is locked" but waits up to the timeout (seconds).
    DATABASES["default"]["OPTIONS"] = {
        "timeout": 30,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; "
        # KiB of pages that a connection may keep, and pages in the log before they are moved into the database: by
        # default both are so small that a database with a million sessions costs the ledger a quarter more.
        "PRAGMA cache_size=-65536; PRAGMA wal_autocheckpoint=4000;",
    }
    # Tests run real servers in threads beside them: one file for all, not one memory for each.
    DATABASES["default"]["TEST"] = {"NAME": str(DATA_DIR.root / "test.sqlite3")}
elif DATABASES["default"]["ENGINE"] == "django.db.backends.postgresql":
    DATABASES["default"]["ENGINE"] = "controlplane.postgresql"  # Django's own, and it waits for no silent server
    # A server that is gone without a word is noticed within seconds, on both sides; nobody waits for a lock for ever.
    # Seconds, milliseconds where the name says timeout. What the URL says counts more.
    DATABASES["default"]["OPTIONS"] = {
        "connect_timeout": 5,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 10_000,
        "options": "-c statement_timeout=30000 -c idle_in_transaction_session_timeout=30000 "
        "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3",
        **DATABASES["default"].get("OPTIONS", {}),
    }
    # Runs of the tests beside one another do not take each other's database away.
    DATABASES["default"]["TEST"] = {"NAME": f"test_{DATA_DIR.root.name}"}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "/static/"

# The host means nothing to files; without one, kombu warns at every connection.
FILE_BROKER = "filesystem://localhost"
CELERY_BROKER_URL = READER.text("CELERY_BROKER_URL", FILE_BROKER)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "roundhouse"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = TIME_ZONE
if CELERY_BROKER_URL.startswith("redis"):
    # A nudge that cannot be delivered must not hold up the request that sent it. Seconds.
    CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = {"socket_connect_timeout": 3}
if CELERY_BROKER_URL == FILE_BROKER:
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        # One folder in and out: the queue is shared by everything that uses this data directory.
        "data_folder_in": str(DATA_DIR.broker),
        "data_folder_out": str(DATA_DIR.broker),
        "control_folder": str(DATA_DIR.broker / "control"),
        "polling_interval": 0.2,
    }

RAY_ADDRESS = READER.text("ROUNDHOUSE_RAY_ADDRESS")
RECONCILE_SECONDS = READER.number("ROUNDHOUSE_RECONCILE_SECONDS", 2, low=0.5, high=60)
HEARTBEAT_SECONDS = READER.number("ROUNDHOUSE_HEARTBEAT_SECONDS", 15, low=0.1, high=300)
STALL_SECONDS = READER.number("ROUNDHOUSE_STALL_SECONDS", 120, low=0.1, high=3600)
RETRY_BURST = READER.whole("ROUNDHOUSE_RETRY_BURST", 1000, low=0, high=1_000_000)
RETRY_SHARE = READER.number("ROUNDHOUSE_RETRY_SHARE", 0.2, low=0, high=1)
SHUTDOWN_SECONDS = READER.number("ROUNDHOUSE_SHUTDOWN_SECONDS", 25, low=0, high=3600)
WEBSOCKET_SECONDS = READER.number("ROUNDHOUSE_WEBSOCKET_SECONDS", 3600, low=0.1, high=86400)
STORE_RESPONSES = READER.flag("ROUNDHOUSE_STORE_RESPONSES", default=True)
BACKGROUND_RUNNING = READER.whole("ROUNDHOUSE_BACKGROUND_RUNNING", 64, low=1, high=10_000)
SESSION_IDLE_DAYS = READER.whole("ROUNDHOUSE_SESSION_IDLE_DAYS", 30, low=1, high=3650)
STORE_DAYS = READER.whole("ROUNDHOUSE_STORE_DAYS", 30, low=0, high=36_500)
SPOOL_MIB = READER.whole("ROUNDHOUSE_SPOOL_MIB", 1024, low=0, high=1_000_000)
LEDGER_DAYS = READER.whole("ROUNDHOUSE_LEDGER_DAYS", 90, low=0, high=36_500)
USAGE_DAYS = READER.whole("ROUNDHOUSE_USAGE_DAYS", 0, low=0, high=36_500)
PROBE_SECONDS = READER.number("ROUNDHOUSE_PROBE_SECONDS", 5, low=0.5, high=300)

CELERY_BEAT_SCHEDULE = {
    # Each entry expires before its successor comes, so that a stopped worker does not come back to a heap of them.
    "reconcile": {
        "task": "launcher.reconcile_all",
        "schedule": RECONCILE_SECONDS,
        "options": {"expires": RECONCILE_SECONDS},
    },
    "probe": {
        "task": "endpoints.probe_all",
        "schedule": PROBE_SECONDS,
        "options": {"expires": PROBE_SECONDS},
    },
    "prune": {"task": "responses_api.prune", "schedule": 600, "options": {"expires": 600}},
    "expire sessions": {"task": "responses_api.expire_sessions", "schedule": 600, "options": {"expires": 600}},
    "learn interpreters": {"task": "launcher.learn_interpreters", "schedule": 60, "options": {"expires": 60}},
    "prune events": {"task": "launcher.prune", "schedule": 600, "options": {"expires": 600}},
    "replay": {"task": "responses_api.replay_spool", "schedule": 30, "options": {"expires": 30}},
    "give up what is lost": {"task": "responses_api.give_up_lost", "schedule": 30, "options": {"expires": 30}},
}

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "endpoints.authentication.ControlKeyAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["endpoints.authentication.IsOperator"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.PageNumberPagination",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
    "PAGE_SIZE": 100,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Roundhouse control API",
    "DESCRIPTION": "Register endpoints, edit profiles, start and stop vLLM engines.",
    "VERSION": "1",
    "SCHEMA_PATH_PREFIX": "/api/v1/",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "ENUM_NAME_OVERRIDES": {
        "EngineState": "launcher.models.STATE_CHOICES",
        "DesiredState": "launcher.models.DESIRED_CHOICES",
    },
}

LOG_LEVEL = READER.choice("ROUNDHOUSE_LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR"))
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    # Celery says twice of every task that it came and went, every second or two.
    "loggers": {name: {"level": "WARNING"} for name in ("celery.worker.strategy", "celery.app.trace")},
}

from controlplane.theme import UNFOLD  # noqa: E402, F401  (Django reads it here)
