"""Every preset is held against the parser of the vLLM that is installed, and the names of its parsers."""

import sys

import pytest

from launcher import flags, interpreters, presets
from launcher.presets import PRESETS


@pytest.fixture(scope="module")
def installed() -> flags.Flags:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(interpreters, "SECONDS", 280)  # on a machine that is busy
        found = interpreters.learn(sys.executable)
    assert found is not None
    assert found.by_name
    assert set(found.parsers) == {"tool_call_parser", "reasoning_parser"}
    return found


@pytest.mark.parametrize("size", [presets.CPU, 8])
@pytest.mark.parametrize("name", PRESETS)
def test_vllm_takes_every_argument(name: str, size: int, installed: flags.Flags) -> None:
    settings = presets.engine_settings(PRESETS[name], size)
    assert flags.problems(settings["vllm_serve_kwargs"], installed) == []
