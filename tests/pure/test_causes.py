"""Why a start failed, by what vLLM, PyTorch, NCCL, Ray and the hub write."""

from pathlib import Path

import pytest

from launcher import causes
from launcher.remedies import REMEDIES, remedy

ERROR = "(EngineCore pid=18109) ERROR 11-21 08:26:15 [core.py:133] "


def test_the_first_cause_is_found_behind_prefixes_and_before_hearsay() -> None:
    log = "\n".join(
        [
            "(APIServer pid=1) WARNING 11-21 08:26:07 [system_utils.py:255] This can cause `OSError: [Errno 24]`.",
            ERROR + "EngineCore failed to start.",
            ERROR + "Traceback (most recent call last):",
            ERROR + '  File "core.py", line 1, in run_engine_core',
            ERROR + "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",
            '(APIServer pid=1)   File "x.py", line 1, in main',
            "(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above.",
        ]
    )
    assert causes.cause(log).startswith("The GPU's memory does not suffice: lower gpu_memory_utilization")
    assert "(torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.)" in causes.cause(log)


def wordings() -> list[tuple[str, str]]:
    """Return the lines of `failures.txt`: what a log says, and some of what to do about it, which stands above."""
    found, heading = [], ""
    for line in (Path(__file__).parent / "failures.txt").read_text().splitlines():
        if line.startswith(" "):
            found.append((line.strip(), heading))
        else:
            heading = line
    return found


@pytest.mark.parametrize(("said", "remedied"), wordings())
def test_known_causes_come_with_what_to_do(said: str, remedied: str) -> None:
    found = causes.cause(f"fine\n{ERROR}{said}\n{ERROR}RuntimeError: what came of it")
    assert remedied in found
    assert said in found


def test_every_remedy_is_reached_by_one_of_those_wordings() -> None:
    assert {advice for _, advice in REMEDIES} == {remedy(said) for said, _ in wordings()}


def test_a_cause_that_nobody_knows_is_shown_as_it_is() -> None:
    assert causes.cause("ValueError: nobody knows this one") == "ValueError: nobody knows this one"


@pytest.mark.parametrize(
    "prefix",
    [
        "(EngineCore_DP0 pid=387) ERROR 11-21 08:26:15 [core.py:133] ",
        "(RayWorkerWrapper pid=1234, ip=10.0.0.2) ",
        "(EngineCore_DP0 pid=387) (RayWorkerWrapper pid=1234, ip=10.0.0.2) ERROR 11-21 08:26:15 [worker.py:1] ",
        "(Worker_TP0 pid=9) [rank0]: ",
        "[rank3]: ",
        "ERROR 04-03 14:16:16 engine.py:1008] ",
    ],
)
def test_the_first_cause_is_found_behind_every_prefix(prefix: str) -> None:
    assert causes.cause(f"{prefix}ValueError: first\nValueError: second") == "ValueError: first"


def test_what_the_hub_says_below_belongs_to_the_cause() -> None:
    log = (
        "huggingface_hub.errors.RepositoryNotFoundError: 404 Client Error. (Request ID: Root=1-2;3)\n\n"
        "Repository Not Found for url: https://huggingface.co/org/none/resolve/main/config.json.\n"
    )
    assert causes.cause(log).startswith("There is no such model, or it is private")
    assert "https://huggingface.co/org/none" in causes.cause(log)


def test_a_validation_error_is_read_where_it_says_something() -> None:
    log = (
        "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig\n"
        "  Value error, User-specified max_model_len (9999) is greater than the derived max_model_len (4096).\n"
        "    For further information visit https://errors.pydantic.dev\n"
    )
    assert causes.cause(log) == (
        "Lower max_model_len to what the model can do. "
        "(User-specified max_model_len (9999) is greater than the derived max_model_len (4096).)"
    )


def test_no_cause_is_invented() -> None:
    assert causes.cause("INFO:     Application startup complete.\nFutureWarning: old\n") == ""
    assert causes.cause("") == ""


def test_what_went_wrong_long_ago_is_not_the_cause() -> None:
    log = "ValueError: one request, last week\n" + "fine\n" * 400
    assert causes.cause(log) == ""
