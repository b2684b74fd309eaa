"""Django's entry for the app."""

from django.apps import AppConfig


class ResponsesApiConfig(AppConfig):
    """Names the app as the admin shows it."""

    name = "responses_api"
    verbose_name = "Gateway"
