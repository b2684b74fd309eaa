"""Django's entry for the app."""

from django.apps import AppConfig


class EndpointsConfig(AppConfig):
    """Names the app as the admin shows it."""

    name = "endpoints"
    verbose_name = "Endpoints"
