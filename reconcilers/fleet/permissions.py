"""The limits of an environment and the acknowledgements of the fleet, as the values that the policy judges with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from reconcilers.core.model import Action, Span
from reconcilers.core.policy import Ack, Allowance, Limit, Limits, LimitSet
from reconcilers.fleet.model import Entity, Environment, Fleet


def limits(environment: Environment) -> LimitSet:
    """`limits.default` and `limits.kinds`; a kind states only what differs from the default."""
    data = environment.data.get("limits", {})
    default = _limits(data.get("default", {}), Limits())
    return LimitSet(default, {kind: _limits(given, default) for kind, given in data.get("kinds", {}).items()})


def acks(fleet: Fleet) -> tuple[Ack, ...]:
    """All of `config/acks/`, the expired ones too: the policy says so."""
    return tuple(ack(entity) for entity in fleet.acks.values())


def ack(entity: Entity) -> Ack:
    """One acknowledgement."""
    return Ack(
        file=entity.span.file,
        reason=entity.data["reason"],
        expires=date.fromisoformat(entity.data["expires"]),
        allow=tuple(Allowance(Action(a["action"]), a["match"], a["max"]) for a in entity.data["allow"]),
    )


def mode(environment: Environment, target: str) -> tuple[str, Span]:
    """`apply`, `plan` or `paused`, and where git says so."""
    where = environment.spans.get(f"modes.{target}", environment.span)
    return str(environment.data.get("modes", {}).get(target, "apply")), where


def follows(environment: Environment) -> str:
    """Which commit a loop holds the targets to: `main`, the branch's head, or `applied`, the one on record."""
    return str(environment.data.get("loop", {}).get("follows", "main"))


@dataclass(frozen=True, slots=True)
class Promotion:
    """When an environment may get a commit: `after` which other one ran it for `soak_s`, with a tag like `tag`."""

    after: str
    soak_s: int
    tag: str


def promotion(environment: Environment) -> Promotion:
    """Empty texts where git says nothing."""
    said = environment.data.get("promotion") or {}
    return Promotion(str(said.get("after") or ""), int(said.get("soak_s", 0)), str(said.get("tag") or ""))


def channels(environment: Environment) -> tuple[Mapping[str, Any], ...]:
    """Who is told of a scope's transitions."""
    return tuple(environment.data.get("loop", {}).get("notify", ()))


def _limits(data: Mapping[str, Any], base: Limits) -> Limits:
    return Limits(
        delete=_limit(data.get("delete", {}), base.delete),
        update=_limit(data.get("update", {}), base.update),
        min_population=data.get("min_population", base.min_population),
    )


def _limit(data: Mapping[str, Any], base: Limit) -> Limit:
    return Limit(data.get("max_count", base.max_count), data.get("max_fraction", base.max_fraction))
