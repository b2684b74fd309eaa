"""The states of an engine and every move between them. Pure; this is the only place that says what may follow what.

Two rules hold everywhere:

1. People write `desired_state`; only `launcher/transitions.py` writes `state`.
2. A move is lawful if it is a row of `MOVES`; the row's text says when it happens.

`docs/states.md` is compared with this table by a test.
"""

from enum import StrEnum


class Desired(StrEnum):
    """What people want."""

    RUNNING = "running"
    STOPPED = "stopped"


class State(StrEnum):
    """What is."""

    STOPPED = "stopped"
    PENDING = "pending"
    STARTING = "starting"
    READY = "ready"
    UNHEALTHY = "unhealthy"
    STOPPING = "stopping"
    FAILED = "failed"


MEANING: dict[State, str] = {
    State.STOPPED: "Nothing runs; that was seen, not assumed.",
    State.PENDING: "Wanted, and waiting for what the reason names.",
    State.STARTING: "The job is submitted; the engine does not answer yet.",
    State.READY: "The engine generated a token and answers its health checks.",
    State.UNHEALTHY: "The process lives but does not answer.",
    State.STOPPING: "The job is being stopped; something of it may still run.",
    State.FAILED: "The last attempt ended badly; the reason and the last log lines say how.",
}

MOVES: dict[tuple[State, State], str] = {
    (State.STOPPED, State.PENDING): "It is wanted.",
    (State.FAILED, State.PENDING): "It is wanted again, or the restart policy's back-off is over.",
    (State.FAILED, State.STOPPED): "It is not wanted any more, and nothing is left of it.",
    (State.PENDING, State.STARTING): "The job was submitted.",
    (State.PENDING, State.STOPPED): "It is not wanted any more; nothing was submitted.",
    (State.PENDING, State.FAILED): "Its arguments were refused, or the job could not be submitted.",
    (State.STARTING, State.READY): "It generated its first token.",
    (State.STARTING, State.STOPPING): "It is not wanted any more, or a restart was asked for.",
    (State.STARTING, State.FAILED): "The process ended, or the start-up deadline passed.",
    (State.READY, State.UNHEALTHY): "Health checks fail while the process lives.",
    (State.READY, State.STOPPING): "It is not wanted any more, or a restart was asked for.",
    (State.READY, State.FAILED): "The process ended.",
    (State.UNHEALTHY, State.READY): "It answers again.",
    (State.UNHEALTHY, State.STOPPING): "It is not wanted any more, or a restart was asked for.",
    (State.UNHEALTHY, State.FAILED): "The process ended, or it did not answer for too long.",
    (State.STOPPING, State.STOPPED): "No process is left and the port is free.",
    (State.STOPPING, State.FAILED): "It could not be stopped; the reason names what is left.",
}


class IllegalMoveError(Exception):
    """Code asked for a move that is not in the table: a bug, never a race."""


def check_move(old: State, new: State) -> None:
    """Return if the move is lawful.

    Raises:
        IllegalMoveError: if it is not.
    """
    if (old, new) not in MOVES:
        raise IllegalMoveError(f"An engine does not go from {old} to {new}.")
