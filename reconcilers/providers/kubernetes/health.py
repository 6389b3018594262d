"""Whether a written object works: the rules of kstatus, and one of our own for DaemonSets. Pure.

A DaemonSet over hundreds of far-away nodes is never ready everywhere. It counts as healthy when the controller has
seen the new version, some pod of it is available, and no more pods are unavailable than before the change or than its
own rollout limit permits. What remains is watched by alerts, not by the one who applies.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from reconcilers.core.model import Health, HealthState, Json

CURRENT = Health(HealthState.CURRENT)
AT_ONCE = frozenset(
    {
        "ConfigMap", "Secret", "ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding",
        "PriorityClass", "NetworkAttachmentDefinition", "Service",
    }
)  # fmt: skip
"""Kinds that are in force once they are stored; nobody reports on them."""


def judge(live: Json, unavailable_before: int = 0) -> Health:
    """The state of a live object; `unavailable_before` is what `unavailable` was before the change."""
    if live["metadata"].get("deletionTimestamp"):
        held = ", ".join(live["metadata"].get("finalizers") or []) or "its grace period"
        return _waiting(f"being deleted, held by {held}")
    status = live.get("status") or {}
    generation = live["metadata"].get("generation", 0)
    if "observedGeneration" in status and status["observedGeneration"] < generation:
        return _waiting(f"its controller has seen generation {status['observedGeneration']} of {generation}")
    if live["kind"] == "DaemonSet":
        return _daemon_set(live, unavailable_before)
    rule = _RULES.get(live["kind"])
    return rule(live, status) if rule else _conditions(live, status)


def unavailable(live: Json) -> int:
    """How many pods of a DaemonSet are down now."""
    return int((live.get("status") or {}).get("numberUnavailable", 0))


def _daemon_set(live: Json, before: int) -> Health:
    status = live.get("status") or {}
    if status.get("observedGeneration") is None:
        return _waiting("its controller has not seen it yet")
    wanted = status.get("desiredNumberScheduled", 0)
    updated = status.get("updatedNumberScheduled", 0)
    available = status.get("numberAvailable", 0)
    if not wanted:
        return CURRENT
    if not updated or not available:
        return _waiting(f"{updated} of {wanted} pods updated, {available} available: waiting for the first")
    allowed = max(before, _share(live, wanted))
    down = unavailable(live)
    if updated < wanted and down > allowed:
        return _waiting(f"{down} of {wanted} pods unavailable, {allowed} permitted; {updated} updated")
    return Health(HealthState.CURRENT, f"{updated} of {wanted} pods updated, {down} unavailable")


def _share(live: Json, wanted: int) -> int:
    rolling = (live["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
    limit = rolling.get("maxUnavailable", 1)
    if isinstance(limit, str) and limit.endswith("%"):
        return math.ceil(int(limit[:-1]) * wanted / 100)
    return int(limit)


def _namespace(live: Json, status: Mapping[str, Any]) -> Health:
    return CURRENT if status.get("phase") == "Active" else _waiting(f"phase {status.get('phase')}")


def _definition(live: Json, status: Mapping[str, Any]) -> Health:
    refused = _condition(status, "NamesAccepted")
    if refused.get("status") == "False":
        return Health(HealthState.FAILED, f"names not accepted: {refused.get('message', '')}")
    done = _condition(status, "Established").get("status") == "True"
    return CURRENT if done else _waiting("the definition is not established yet")


def _deployment(live: Json, status: Mapping[str, Any]) -> Health:
    progress = _condition(status, "Progressing")
    if progress.get("reason") == "ProgressDeadlineExceeded":
        return Health(HealthState.FAILED, f"progress deadline exceeded: {progress.get('message', '')}")
    if "observedGeneration" not in status:
        return _waiting("its controller has not seen it yet")
    wanted = live["spec"].get("replicas", 1)
    updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    if updated < wanted or available < wanted or status.get("replicas", 0) > updated:
        return _waiting(f"{updated} of {wanted} replicas updated, {available} available")
    return CURRENT


def _stateful_set(live: Json, status: Mapping[str, Any]) -> Health:
    wanted = live["spec"].get("replicas", 1)
    ready, updated = status.get("readyReplicas", 0), status.get("updatedReplicas", 0)
    if "observedGeneration" not in status or ready < wanted or updated < wanted:
        return _waiting(f"{updated} of {wanted} replicas updated, {ready} ready")
    return CURRENT


def _conditions(live: Json, status: Mapping[str, Any]) -> Health:
    stalled = _condition(status, "Stalled")
    if stalled.get("status") == "True":
        return Health(HealthState.FAILED, f"stalled: {stalled.get('message', '')}")
    if _condition(status, "Reconciling").get("status") == "True":
        return _waiting("reconciling")
    ready = _condition(status, "Ready")
    if ready and ready.get("status") != "True":
        return _waiting(f"not ready: {ready.get('message', '')}")
    return CURRENT


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    return next((c for c in status.get("conditions") or [] if c.get("type") == kind), {})


def _waiting(message: str) -> Health:
    return Health(HealthState.IN_PROGRESS, message)


_RULES: Mapping[str, Callable[[Json, Mapping[str, Any]], Health]] = {
    "Namespace": _namespace,
    "CustomResourceDefinition": _definition,
    "Deployment": _deployment,
    "StatefulSet": _stateful_set,
}
