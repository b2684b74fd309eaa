"""What is wrong with an engine's settings, as far as it can be known before a launch."""

from django.conf import settings

from launcher import command, flags, interpreters, linked_profiles, places
from launcher.command import KWARGS, Problem
from launcher.models import Engine

ELSEWHERE = (
    "Another host runs it, on a Ray of its own, which this host cannot reach: set ROUNDHOUSE_RAY_ADDRESS to one "
    "cluster on all hosts that share this database. If that host is gone for good: "
    "manage.py engines --take-over {name}."
)


def problems(vllm_serve_kwargs: object, vllm_serve_env_vars: object, interpreter: str) -> list[Problem]:
    """Return what is wrong with the arguments and variables; empty if they may be launched.

    The arguments are held against the vLLM of the interpreter, if that was asked already.
    """
    found = command.check_config(vllm_serve_kwargs, vllm_serve_env_vars)
    known = interpreters.known(interpreter)
    if known is None or any(problem.field == KWARGS for problem in found) or not isinstance(vllm_serve_kwargs, dict):
        return found
    return [*found, *(Problem(KWARGS, message) for message in flags.problems(vllm_serve_kwargs, known))]


def warnings(engine: Engine) -> list[str]:
    """Return where the engine, the profiles that are linked to it and this host contradict each other, with what to
    change.
    """
    profiles = [{name: getattr(row, name) for name in linked_profiles.NAMES} for row in engine.profiles.all()]
    version = ""
    if any(profile["request_prompt_and_generation_token_ids"] for profile in profiles):  # a file is read for it
        known = interpreters.known(engine.interpreter)
        version = known.version if known else ""
    found = linked_profiles.warnings(engine.vllm_serve_kwargs, profiles, version)
    if engine.base_url and not settings.RAY_ADDRESS and places.is_other_host(engine.ray_host):
        found.insert(0, ELSEWHERE.format(name=engine.name))
    return found
