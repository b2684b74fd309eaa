"""`manage.py quickstart`, which is `make run`: prepare, serve, launch the tiny engine, say how to call it."""

import logging
import os
import sys
import time

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from controlplane import quickstart
from controlplane.host import Host, HostError, check_port, locked, no_database
from launcher import services
from launcher.models import Engine
from launcher.states import State

BY = "make run"
QUIET_LINE_SECONDS = 15.0


class Command(BaseCommand):
    """Runs Roundhouse on this machine, from nothing."""

    help = "Prepare the data directory, serve, launch a tiny engine, and print how to call it."

    def handle(self, *_args: object, **_options: object) -> None:
        """Run until a signal."""
        logging.getLogger().setLevel(logging.ERROR)  # the lines below tell what happens; the rest is in the log files
        with_engine = os.environ.get("ENGINE", "auto") != "none"
        host = Host(say=self._say, log_to_files=True)
        try:
            with locked():
                check_port()
                self._say(f"preparing {settings.DATA_DIR.root}")
                call_command("migrate", verbosity=0)
                facts = quickstart.facts(model=quickstart.TINY if with_engine else None)
                with host.running():
                    self._say(f"the control plane serves on {facts.url}")
                    if with_engine:
                        engine = quickstart.tiny_engine()
                        services.start(engine, by=BY)
                        if not self._wait_until_ready(host, engine):
                            return
                    else:
                        _stop_tiny()
                    facts.save(settings.DATA_DIR)
                    self._print(quickstart.how_to_call(facts))
                    if with_engine and engine.state == State.FAILED:
                        self._say(f"calls to {engine.name} fail until it runs: press Start at {facts.url}/admin/")
                    self._say("ready; Ctrl-C ends everything")
                    while host.tick():
                        pass
        except (HostError, RuntimeError) as error:
            raise CommandError(str(error)) from None
        except DatabaseError as error:
            raise CommandError(no_database(error)) from None

    def _wait_until_ready(self, host: Host, engine: Engine) -> bool:
        """Show the launch until it ended either way; return False if the host is to stop before."""
        begun = time.monotonic()
        shown, shown_at = "", 0.0
        while host.tick():
            engine.refresh_from_db()
            now = time.monotonic()
            seen = f"engine {engine.name}: {engine.state}" + (f", {engine.phase}" if engine.phase else "")
            if engine.state == State.READY:
                self._say(f"{seen} after {now - begun:.0f} s")
                return True
            if engine.state == State.FAILED:
                self._say(f"{seen} after {now - begun:.0f} s: {engine.state_reason}")
                self._say(f"its log is in {settings.DATA_DIR.engine_logs / engine.name}; the control plane goes on")
                return True
            if seen != shown or now - shown_at > QUIET_LINE_SECONDS:
                self._say(f"{seen} ({now - begun:.0f} s)")
                shown, shown_at = seen, now
        return False

    def _say(self, text: str) -> None:
        self._print(f"roundhouse: {text}")

    def _print(self, text: str) -> None:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def _stop_tiny() -> None:
    """Without an engine wanted, one of an earlier run is not to come back either."""
    engine = Engine.objects.filter(name=quickstart.TINY).first()
    if engine is not None:
        services.stop(engine, by=BY)
