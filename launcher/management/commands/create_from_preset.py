"""`manage.py create_from_preset NAME`: an engine and its profile for a known model; without a name, the list."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from launcher import from_preset, ray_cluster
from launcher.cluster import ClusterUnreachableError
from launcher.from_preset import PresetError
from launcher.models import Engine
from launcher.presets import PRESETS


class Command(BaseCommand):
    """Makes a stopped engine and its profile. Exits with 1 if it does not fit, or if there is one of that name."""

    help = "Makes a stopped engine and its profile from a preset; lists the presets if none is named."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the preset, --name and --profile."""
        parser.add_argument("preset", nargs="?", metavar="NAME", help="A preset.")
        parser.add_argument("--name", default="", help="Of the engine; the preset's unless given.")
        parser.add_argument("--profile", default="", help="Of the profile; the engine's unless given.")

    def handle(self, **options: Any) -> None:
        """Do it."""
        if not options["preset"]:
            for preset in PRESETS.values():
                self.stdout.write(f"{preset.name}  {preset.model}")
            return
        try:
            engine = from_preset.create(
                options["preset"],
                ray_cluster.from_settings(),
                by="manage.py",
                name=options["name"],
                profile_name=options["profile"],
            )
        except (PresetError, ClusterUnreachableError) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"Engine {engine.name} and its profile are made. {_said(engine)}")


def _said(engine: Engine) -> str:
    where = (
        "on CPU"
        if engine.device == Engine.Device.CPU
        else (f"with tensor_parallel_size {engine.vllm_serve_kwargs['tensor_parallel_size']}")
    )
    return f"It is stopped; it will run {where}."
