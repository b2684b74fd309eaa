"""The project: settings, ASGI, Celery, URLs, and the supervisor that starts it all."""

from controlplane.celery import app as celery_app

__all__ = ["celery_app"]
