"""What processes ask of what is limited, shared by all. Each runs in the writer's transaction."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from responses_api.models import Demand

# Rows of a process that is gone count for nothing soon, and are deleted some time later.
FORGOTTEN_SECONDS = 300.0


def write(process: str, demands: Sequence[Demand], now: datetime) -> None:
    """Replace what a process asks for."""
    Demand.objects.filter(process=process).delete()
    Demand.objects.filter(seen_at__lt=now - timedelta(seconds=FORGOTTEN_SECONDS)).delete()
    Demand.objects.bulk_create(demands)
