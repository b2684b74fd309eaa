"""What a person can do about an engine, in a sentence. Pure."""

from launcher.states import Desired, State

NEXT_STEP: dict[tuple[State, Desired], str] = {
    (State.STOPPED, Desired.STOPPED): "Press Start to launch it.",
    (State.STOPPED, Desired.RUNNING): "It begins within seconds. If it does not, see that the Celery worker runs.",
    (State.PENDING, Desired.RUNNING): "It goes on by itself once what the reason names is there.",
    (State.PENDING, Desired.STOPPED): "It stops within seconds.",
    (
        State.STARTING,
        Desired.RUNNING,
    ): "Wait: weights are loaded, and downloaded first where they are new. The log tells.",
    (State.STARTING, Desired.STOPPED): "It stops within seconds.",
    (State.READY, Desired.RUNNING): "",
    (State.READY, Desired.STOPPED): "It takes no new sessions; running answers get their time, then it stops.",
    (
        State.UNHEALTHY,
        Desired.RUNNING,
    ): "It gets no requests until it answers again. If it does not, Stop it and Start it.",
    (State.UNHEALTHY, Desired.STOPPED): "It stops within seconds.",
    (State.STOPPING, Desired.RUNNING): "It starts again once nothing of the last run is left.",
    (State.STOPPING, Desired.STOPPED): "Wait: it is stopped when no process is left and its port is free.",
    (
        State.FAILED,
        Desired.RUNNING,
    ): "Read the reason and the last log lines, mend the settings, then press Start to try again.",
    (State.FAILED, Desired.STOPPED): "What is left of it is cleared away; then it is stopped.",
}


def next_step(state: State, desired: Desired) -> str:
    """Return what to do or to expect; "" if all is well."""
    return NEXT_STEP[(state, desired)]
