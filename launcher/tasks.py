"""What beat and nudges ask for: a visit to one engine, or to all that need one. A task does its steps and returns."""

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from launcher import places, queries, ray_cluster, reconcile

STEPS = 4  # from a wish to a submitted job in one visit


@shared_task(name="launcher.reconcile_engine")
def reconcile_engine(engine_id: int) -> None:
    """Visit one engine, and go on while it moves. A second visitor on this host leaves at once."""
    cluster = ray_cluster.from_settings()
    with places.of_this_host().visit(engine_id) as alone:
        for _ in range(STEPS if alone else 0):
            if not reconcile.reconcile_engine(engine_id, cluster, now=timezone.now()):
                break


@shared_task(name="launcher.reconcile_all")
def reconcile_all() -> None:
    """Send a visitor to every engine that is wanted or not proven stopped; end a local cluster that none uses."""
    for engine_id in queries.to_visit().values_list("pk", flat=True):
        # The next round sends another one: what nobody took by then is dropped, not heaped up.
        reconcile_engine.apply_async((engine_id,), expires=settings.RECONCILE_SECONDS)
    reconcile.take_down_unused(ray_cluster.from_settings(), now=timezone.now())
