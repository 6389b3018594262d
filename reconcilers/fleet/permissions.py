"""The limits of an environment and the acknowledgements of the fleet, as the values that the policy judges with."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from reconcilers.core.model import Action
from reconcilers.core.policy import Ack, Allowance, Limit, Limits, LimitSet
from reconcilers.fleet.model import Environment, Fleet


def limits(environment: Environment) -> LimitSet:
    """`limits.default` and `limits.kinds`; a kind states only what differs from the default."""
    data = environment.data.get("limits", {})
    default = _limits(data.get("default", {}), Limits())
    return LimitSet(default, {kind: _limits(given, default) for kind, given in data.get("kinds", {}).items()})


def acks(fleet: Fleet) -> tuple[Ack, ...]:
    """All of `config/acks/`, the expired ones too: the policy says so."""
    return tuple(
        Ack(
            file=entity.span.file,
            reason=entity.data["reason"],
            expires=date.fromisoformat(entity.data["expires"]),
            allow=tuple(Allowance(Action(a["action"]), a["match"], a["max"]) for a in entity.data["allow"]),
        )
        for entity in fleet.acks.values()
    )


def mode(environment: Environment, target: str) -> str:
    """`apply`, `plan` or `paused`."""
    return str(environment.data.get("modes", {}).get(target, "apply"))


def _limits(data: Mapping[str, Any], base: Limits) -> Limits:
    return Limits(
        delete=_limit(data.get("delete", {}), base.delete),
        update=_limit(data.get("update", {}), base.update),
        min_population=data.get("min_population", base.min_population),
    )


def _limit(data: Mapping[str, Any], base: Limit) -> Limit:
    return Limit(data.get("max_count", base.max_count), data.get("max_fraction", base.max_fraction))
