"""`manage.py orphans`: what is left of engines that nobody looks after; `--reap` ends it."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from launcher import fleet, ray_cluster
from launcher.cluster import ClusterUnreachableError
from launcher.fleet import Orphan


class Command(BaseCommand):
    """Lists orphans, one a line, with whose they were. Exits with 1 if one cannot be ended."""

    help = "Lists jobs and processes of engines that nobody looks after; --reap ends them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take --reap."""
        parser.add_argument("--reap", action="store_true", help="End them.")

    def handle(self, **options: Any) -> None:
        """Do it."""
        cluster = ray_cluster.from_settings()
        if not options["reap"]:
            self._tell(fleet.orphans(cluster), "There are no orphans.")
            return
        try:
            reaped, left = fleet.reap(cluster)
        except ClusterUnreachableError as error:
            raise CommandError(str(error)) from None
        self._tell(reaped, "There were no orphans.")
        if any(orphan.processes for orphan in left):
            raise CommandError("Left: " + ", ".join(orphan.submission_id for orphan in left))

    def _tell(self, orphans: list[Orphan], none: str) -> None:
        for orphan in orphans:
            job = f"Ray job {orphan.job}" if orphan.job else "no Ray job"
            told = (", ".join(orphan.processes) or "none here") + (f"; holds {orphan.gpus} GPUs" if orphan.gpus else "")
            self.stdout.write(f"{orphan.submission_id}  {orphan.engine}, launch {orphan.attempt}: {job}; {told}")
        if not orphans:
            self.stdout.write(none)
