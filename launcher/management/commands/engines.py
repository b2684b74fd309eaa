"""`manage.py engines`: every engine with its state, and how far a start is."""

from typing import Any

from django.core.management.base import BaseCommand

from launcher.models import Engine
from launcher.states import State


class Command(BaseCommand):
    """Lists engines, one a line."""

    help = "Lists the engines: what is wanted, what is, how far a start is, and when it will have failed."

    def handle(self, **_: Any) -> None:
        """Do it."""
        for engine in Engine.objects.defer("api_key", "hf_token"):
            said = engine.phase if engine.state == State.STARTING and engine.phase else engine.state_reason
            line = f"{engine.name}  {engine.state} (wanted: {engine.desired_state})  {said}"
            if (deadline := engine.startup_deadline) is not None:
                line += f"  [to be ready by {deadline:%H:%M:%S} UTC]"
            self.stdout.write(line)
