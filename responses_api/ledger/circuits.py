"""Circuits of endpoints, shared by all processes through the endpoints' rows. Each runs in the writer's transaction."""

from datetime import datetime

from endpoints.models import Endpoint
from responses_api.breaker import Circuit

REASON_LENGTH: int = Endpoint._meta.get_field("circuit_reason").max_length or 0


def write(endpoint_id: int, circuit: Circuit | None) -> None:
    """Let all processes know how a circuit is now; None: closed."""
    Endpoint.objects.filter(pk=endpoint_id).update(
        circuit_cause=circuit.cause if circuit else "",
        circuit_reason=circuit.reason[:REASON_LENGTH] if circuit else "",
        circuit_trips=circuit.trips if circuit else 0,
        circuit_until=circuit.until if circuit else None,
    )


def claim(endpoint_id: int, old_until: datetime, until: datetime) -> bool:
    """Let one request try until then; return False if another one does, or the circuit is closed by now."""
    rows = Endpoint.objects.filter(pk=endpoint_id, circuit_until=old_until).exclude(circuit_cause="")
    return rows.update(circuit_until=until) > 0
