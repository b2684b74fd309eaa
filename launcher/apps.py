"""Django's entry for the app."""

from django.apps import AppConfig


class LauncherConfig(AppConfig):
    """Names the app as the admin shows it."""

    name = "launcher"
    verbose_name = "Engines"
