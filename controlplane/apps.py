"""The project as a Django app: it carries the commands and the system checks."""

from django.apps import AppConfig


class ControlplaneConfig(AppConfig):
    """Registers the system checks."""

    name = "controlplane"

    def ready(self) -> None:
        """Import the checks, which register themselves."""
        from controlplane import checks  # noqa: F401
