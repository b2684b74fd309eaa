"""What beat and nudges ask for: a visit to one engine, or to all that need one. A task does its steps and returns."""

from datetime import timedelta

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from endpoints.pruning import delete_in_batches
from launcher import interpreters, places, queries, ray_cluster, reconcile
from launcher.states import State

STEPS = 4  # from a wish to a submitted job in one visit
WAITED_FOR = {State.STARTING, State.STOPPING}  # someone looks on until it is through: visited twice as often


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
    seconds = settings.RECONCILE_SECONDS
    for engine_id, state in queries.to_visit().values_list("pk", "state"):
        # The next round sends another one: what nobody took by then is dropped, not heaped up.
        reconcile_engine.apply_async((engine_id,), expires=seconds)
        if state in WAITED_FOR:
            reconcile_engine.apply_async((engine_id,), countdown=seconds / 2, expires=seconds)
    reconcile.take_down_unused(ray_cluster.from_settings(), now=timezone.now())


@shared_task(name="launcher.learn_interpreters")
def learn_interpreters() -> None:
    """Ask the interpreters of this host what their vLLM takes, where that is not known, so that no launch waits."""
    interpreters.learn_all(queries.interpreters())


@shared_task(name="launcher.prune")
def prune() -> None:
    """Delete what happened to engines too long ago. What happened last to each stays."""
    if settings.LEDGER_DAYS:
        delete_in_batches(lambda: queries.events_before(timezone.now() - timedelta(days=settings.LEDGER_DAYS)))
