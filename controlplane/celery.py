"""The Celery application: tasks live in each app's tasks.py."""

import os

from celery import Celery

from controlplane import file_broker

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")

file_broker.install()
app = Celery("roundhouse")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
