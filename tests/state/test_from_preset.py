"""An engine and its profile are made of a preset: fitted to the cluster, both or neither, never over another."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from endpoints.models import ConfigProfile
from launcher import from_preset
from launcher.cluster import ClusterUnreachableError
from launcher.from_preset import PresetError
from launcher.models import Engine
from launcher.presets import PRESETS
from launcher.states import Desired, State
from tests.fakes.cluster import FakeCluster
from tests.state.engines import make_engine

pytestmark = pytest.mark.django_db(transaction=True)

NAME = "qwen3-30b-a3b-thinking"


@pytest.fixture
def four(cluster: FakeCluster) -> FakeCluster:
    cluster.gpus, cluster.up = 4, True
    return cluster


def test_both_are_made_and_nothing_starts(four: FakeCluster) -> None:
    engine = from_preset.create(NAME, four, by="ann")
    engine.refresh_from_db()
    (profile,) = engine.profiles.all()
    assert (engine.name, engine.device, engine.desired_state, engine.state) == (
        NAME,
        "cuda",
        Desired.STOPPED,
        State.STOPPED,
    )
    assert engine.vllm_serve_kwargs["tensor_parallel_size"] == 4
    assert engine.vllm_serve_kwargs["reasoning_parser"] == "deepseek_r1"
    assert (profile.name, profile.engine_model) == (NAME, engine.model)
    assert four.launched == []


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_can_be_made(name: str, four: FakeCluster) -> None:
    assert from_preset.create(name, four, by="ann", name="mine").model == PRESETS[name].model


@pytest.mark.parametrize("taken", ["engine", "profile"])
def test_nothing_of_that_name_is_overwritten(taken: str, four: FakeCluster) -> None:
    if taken == "engine":
        make_engine("mine", model="org/old")
    else:
        ConfigProfile.objects.create(name="mine", description="old")
    before = (Engine.objects.count(), ConfigProfile.objects.count())
    with pytest.raises(PresetError, match="already exists") as refused:
        from_preset.create(NAME, four, by="ann", name="mine")
    assert refused.value.field == "name"
    assert (Engine.objects.count(), ConfigProfile.objects.count()) == before


@pytest.mark.parametrize(
    ("preset", "name", "field", "said"),
    [
        ("qwen", "", "preset", "There is no preset 'qwen'. There are: qwen3-4b-instruct,"),
        (NAME, "Not A Name", "name", "Use small letters"),
    ],
)
def test_what_is_refused_says_what_to_change(preset: str, name: str, field: str, said: str, four: FakeCluster) -> None:
    with pytest.raises(PresetError, match=said) as refused:
        from_preset.create(preset, four, by="ann", name=name)
    assert refused.value.field == field
    assert not Engine.objects.exists()
    assert not ConfigProfile.objects.exists()


def test_too_few_gpus_are_said_with_the_numbers(cluster: FakeCluster) -> None:
    cluster.gpus, cluster.up = 2, True
    with pytest.raises(PresetError, match=r"It needs 4 GPUs on one node; 127\.0\.0\.1 has 2 of 2 free"):
        from_preset.create("qwen3-235b-a22b-instruct-fp8", cluster, by="ann")


def test_a_cluster_without_gpus_offers_what_runs_on_cpu(cluster: FakeCluster) -> None:
    cluster.up = True
    offers, trouble = from_preset.offers(cluster)
    assert trouble == ""
    assert [offer.name for offer in offers if offer.gpus == 0] == ["qwen3-4b-instruct", "qwen3-4b-completions"]
    assert all("the cluster has none" in offer.refusal for offer in offers if offer.gpus is None)
    assert from_preset.create("qwen3-4b-instruct", cluster, by="ann").device == "cpu"


def test_a_silent_cluster_offers_nothing(cluster: FakeCluster) -> None:
    cluster.silent = True
    offers, trouble = from_preset.offers(cluster)
    assert {offer.refusal for offer in offers} == {trouble} == {"The cluster does not answer."}
    with pytest.raises(ClusterUnreachableError):
        from_preset.create(NAME, cluster, by="ann")


def test_the_command_lists_makes_and_refuses() -> None:
    out = StringIO()
    call_command("create_from_preset", stdout=out)
    assert [line.split()[0] for line in out.getvalue().splitlines()] == [*PRESETS]
    call_command("create_from_preset", "qwen3-4b-instruct", "--name", "mine", stdout=out)
    assert "Engine mine and its profile are made. It is stopped;" in out.getvalue()
    with pytest.raises(CommandError, match="already exists"):
        call_command("create_from_preset", "qwen3-4b-instruct", "--name", "mine")
