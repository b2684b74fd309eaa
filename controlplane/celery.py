"""The Celery application: tasks live in each app's tasks.py."""

import os
from typing import Any

from celery import Celery
from celery.signals import worker_ready, worker_shutting_down

from controlplane import file_broker

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")

file_broker.install()
app = Celery("roundhouse")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_ready.connect
def prepare(**_: Any) -> None:
    """Ask at once what takes seconds to learn, so that the first launch does not wait for it."""
    app.send_task("launcher.learn_interpreters")


@worker_shutting_down.connect
def end(**_: Any) -> None:
    """Wait for no answer that takes longer than a worker has to end."""
    from launcher import interpreters

    interpreters.give_up()
