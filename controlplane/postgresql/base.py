"""The backend as Django looks for it: under this name."""

from types import SimpleNamespace
from typing import Any

import psycopg
from django.db.backends.postgresql import base

from controlplane.postgresql.silence import WatchedConnection


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's own, on connections that are watched."""

    # The driver as Django uses it: its errors, its types, and `connect`.
    Database: Any = SimpleNamespace(**{**vars(psycopg), "connect": WatchedConnection.connect})
