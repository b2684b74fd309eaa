"""SQLite is never away: it is a file of the data directory. What needs a network to the database runs on PostgreSQL."""

from controlplane import settings

OVER_A_NETWORK = ["test_postgresql_away.py", "test_two_hosts.py", "test_unnamed_conversations.py"]
collect_ignore = [] if settings.DATABASES["default"]["ENGINE"].endswith("postgresql") else OVER_A_NETWORK
