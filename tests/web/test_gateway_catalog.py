"""What the gateway says of its profiles: to everybody, and to Codex."""

from collections.abc import Iterator
from typing import Any

import pytest

from endpoints.models import ConfigProfile
from tests.web.gateway_server import Site, running

pytestmark = pytest.mark.django_db(transaction=True)

# What Codex 0.169 cannot read a model without.
REQUIRED = {
    "slug",
    "display_name",
    "supported_reasoning_levels",
    "shell_type",
    "visibility",
    "supported_in_api",
    "priority",
    "support_verbosity",
    "truncation_policy",
    "experimental_supported_tools",
    "base_instructions",
}


@pytest.fixture
def site() -> Iterator[Site]:
    with running() as started:
        yield started


def catalog(site: Site, name: str = "tiny") -> dict[str, Any]:
    with site.client() as client:
        [model] = client.get(f"/profiles/{name}/codex-catalog").json()["models"]
    return dict(model)


def limit(site: Site, max_model_len: int | None) -> None:
    site.profile.endpoints.update(max_model_len=max_model_len)
    site.refresh()


def test_codex_is_told_the_real_limits(site: Site) -> None:
    limit(site, 32_768)
    model = catalog(site)
    assert model.keys() >= REQUIRED
    assert (model["slug"], model["context_window"], model["max_context_window"]) == ("tiny", 32_768, 32_768)
    assert (model["auto_compact_token_limit"], model["truncation_policy"]["limit"]) == (29_492, 8192)
    assert (model["apply_patch_tool_type"], model["input_modalities"]) == (None, ["text"])


def test_codex_leaves_room_for_the_answer_that_the_profile_asks_for(site: Site) -> None:
    site.profile.sampling_overrides = {"max_tokens": 4000}
    site.profile.save()
    limit(site, 32_768)
    assert catalog(site)["auto_compact_token_limit"] == 28_768


def test_codex_is_not_told_a_limit_that_nobody_knows(site: Site) -> None:
    limit(site, None)
    model = catalog(site)
    assert not model.keys() & {"context_window", "auto_compact_token_limit"}
    assert model["truncation_policy"] == {"mode": "tokens", "limit": 10_000}


def test_profiles_may_have_slashes_in_their_names(site: Site) -> None:
    ConfigProfile.objects.create(name="org/model")
    site.refresh()
    assert catalog(site, "org/model")["slug"] == "org/model"


def test_a_catalog_needs_a_profile_and_a_key(site: Site) -> None:
    with site.client() as client:
        missing = client.get("/profiles/nobody/codex-catalog")
        wrong = client.post("/profiles/tiny/codex-catalog")
        elsewhere = client.get("/profiles/tiny")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")
    assert (wrong.status_code, elsewhere.status_code) == (405, 404)
    with site.client(authorization="") as client:
        assert client.get("/profiles/tiny/codex-catalog").status_code == 401


def test_a_model_is_told_with_its_context(site: Site) -> None:
    limit(site, 4096)
    with site.openai() as client:
        model = client.models.retrieve("tiny")
    assert (model.id, model.model_dump()["max_model_len"]) == ("tiny", 4096)
