"""`manage.py engines`: every engine with its state, and how far a start is. Takes over those of a host that is gone."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from launcher import services
from launcher.models import Engine
from launcher.states import State


class Command(BaseCommand):
    """Lists engines, one a line."""

    help = "Lists the engines: what is wanted, what is, how far a start is, and when it will have failed."

    def add_arguments(self, parser: CommandParser) -> None:
        """Say what may be asked."""
        parser.add_argument("--take-over", metavar="NAME", help="look after the engine of a host that is gone for good")

    def handle(self, **options: Any) -> None:
        """Do it."""
        if (name := options["take_over"]) and not services.take_over(name):
            raise CommandError(f"No other host runs an engine {name}.")
        for engine in Engine.objects.defer("api_key", "hf_token"):
            said = engine.phase if engine.state == State.STARTING and engine.phase else engine.state_reason
            line = f"{engine.name}  {engine.state} (wanted: {engine.desired_state})  {said}"
            if (deadline := engine.startup_deadline) is not None:
                line += f"  [to be ready by {deadline:%H:%M:%S} UTC]"
            self.stdout.write(line)
