"""The configuration at one moment, as the gateway sees it: profiles with their pools, and who may call."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple

from responses_api.breaker import Circuit
from responses_api.convert.profile import ProfileSettings
from responses_api.retries import Patience


@dataclass(frozen=True, slots=True)
class EndpointView:
    """An endpoint that may be asked."""

    id: int
    name: str
    base_url: str  # with /v1, without a slash at its end
    api_key: str
    draining: bool
    max_model_len: int | None
    paused: bool = False
    max_concurrent: int | None = None
    max_queued: int = 0
    weight: int = 1

    def url(self, path: str) -> str:
        """Return where a path of the engine's API is; one that begins with a slash stands beside /v1."""
        return self.base_url.removesuffix("/v1") + path if path.startswith("/") else f"{self.base_url}/{path}"


@dataclass(frozen=True, slots=True)
class ProfileView:
    """A profile with its pool."""

    id: int
    settings: ProfileSettings
    patience: Patience
    created: int
    usable: Mapping[int, EndpointView]  # enabled and not unhealthy, or paused, by id
    open_to_new: Mapping[int, str]  # of those, the names of the ones that take new sessions, by id
    unusable: Mapping[int, str]  # why the others are not: "gpu-1 is disabled"
    paused: bool = False
    may_return: bool = True  # whether it is worth waiting for an endpoint: not if all are switched off
    balancing: str = "round_robin"

    @property
    def weights(self) -> Mapping[int, int]:
        """What the endpoints weigh, by id; empty if all weigh the same."""
        found = {view.id: view.weight for view in self.usable.values()}
        return found if len({*found.values()}) > 1 else {}

    @property
    def timeout_seconds(self) -> float:
        """How long one answer may take."""
        return self.patience.total

    def with_pool_of(self, newer: "ProfileView") -> "ProfileView":
        """Return the profile with the pool as it is now: a request keeps the settings that it began with."""
        return replace(
            self,
            usable=newer.usable,
            open_to_new=newer.open_to_new,
            unusable=newer.unusable,
            paused=newer.paused,
            may_return=newer.may_return,
        )

    def without(self, barred: Mapping[int, str]) -> "ProfileView":
        """Return the profile without some of its endpoints, each with the reason why. A paused one stays: its sessions
        wait for it.
        """
        out = {pk: why for pk, why in barred.items() if pk in self.usable and not self.usable[pk].paused}
        if not out:
            return self
        return replace(
            self,
            usable={pk: view for pk, view in self.usable.items() if pk not in out},
            open_to_new={pk: name for pk, name in self.open_to_new.items() if pk not in out},
            unusable={**self.unusable, **out},
            may_return=True,
        )

    @property
    def max_model_len(self) -> int | None:
        """The context that every usable engine of the pool has, in tokens; None if none says."""
        return min((view.max_model_len for view in self.usable.values() if view.max_model_len), default=None)


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever holds an API key."""

    id: int
    name: str
    may_call: bool
    profile_ids: frozenset[int]  # empty: all
    expires_at: datetime | None
    requests_per_minute: int | None = None
    max_concurrent: int | None = None

    @property
    def is_limited(self) -> bool:
        """Whether its requests are counted."""
        return self.requests_per_minute is not None or self.max_concurrent is not None

    def may_use(self, profile: ProfileView) -> bool:
        """Whether the key's allow-list has the profile."""
        return not self.profile_ids or profile.id in self.profile_ids


class Share(NamedTuple):
    """What one process asks of something that is limited."""

    process: str
    running: int
    minute: int  # since the epoch
    requests: int  # of that minute


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The configuration at one moment: enabled profiles by name, enabled keys by digest."""

    profiles: Mapping[str, ProfileView]
    callers: Mapping[str, Caller]
    endpoint_names: Mapping[int, str]
    circuits: Mapping[int, Circuit] = field(default_factory=dict)  # those that are not closed, by endpoint
    demands: Mapping[str, tuple[Share, ...]] = field(default_factory=dict)  # of all processes, by what they ask for

    def caller_by_id(self, caller_id: int) -> Caller | None:
        """Return who holds the key, as it may be changed by now."""
        return next((caller for caller in self.callers.values() if caller.id == caller_id), None)

    def profile_by_id(self, profile_id: int) -> ProfileView | None:
        """Return the profile, whatever its name is now."""
        return next((view for view in self.profiles.values() if view.id == profile_id), None)
