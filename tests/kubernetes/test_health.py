"""When an object works, per kind and generation."""

from __future__ import annotations

from typing import Any

import pytest

from reconcilers.core.model import HealthState
from reconcilers.providers.kubernetes import health

CURRENT, WAITING, FAILED = HealthState.CURRENT, HealthState.IN_PROGRESS, HealthState.FAILED


def live(kind: str, status: dict[str, Any], spec: dict[str, Any] | None = None, **meta: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": "a", "generation": 2, **meta}, "spec": spec or {}, "status": status}


def daemon(**status: int) -> dict[str, Any]:
    rolling = {"updateStrategy": {"rollingUpdate": {"maxUnavailable": "2%"}}}
    return live("DaemonSet", {"observedGeneration": 2, "desiredNumberScheduled": 100, **status}, rolling)


def condition(kind: str, status: str, reason: str = "", message: str = "") -> dict[str, Any]:
    return {"conditions": [{"type": kind, "status": status, "reason": reason, "message": message}]}


READY = {"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1, "readyReplicas": 1}

TABLE = [
    (live("ConfigMap", {}), CURRENT),
    (live("ConfigMap", {}, deletionTimestamp="2026-01-01T00:00:00Z"), WAITING),
    (live("Namespace", {"phase": "Active"}), CURRENT),
    (live("Namespace", {"phase": "Terminating"}), WAITING),
    (live("CustomResourceDefinition", {}), WAITING),
    (live("CustomResourceDefinition", condition("Established", "True")), CURRENT),
    (live("CustomResourceDefinition", condition("NamesAccepted", "False", message="taken")), FAILED),
    (live("Deployment", {}), WAITING),
    (live("Deployment", {**READY, "observedGeneration": 1}), WAITING),
    (live("Deployment", READY), CURRENT),
    (live("Deployment", {**READY, "availableReplicas": 0}), WAITING),
    (live("Deployment", {**READY, "replicas": 2}), WAITING),
    (live("Deployment", {**READY, **condition("Progressing", "False", "ProgressDeadlineExceeded")}), FAILED),
    (live("StatefulSet", {**READY, "readyReplicas": 0}), WAITING),
    (live("StatefulSet", READY), CURRENT),
    (live("DaemonSet", {}), WAITING),
    (daemon(observedGeneration=1), WAITING),
    (daemon(desiredNumberScheduled=0), CURRENT),
    (daemon(), WAITING),
    (daemon(updatedNumberScheduled=5, numberAvailable=0, numberUnavailable=100), WAITING),
    (daemon(updatedNumberScheduled=5, numberAvailable=97, numberUnavailable=3), WAITING),
    (daemon(updatedNumberScheduled=5, numberAvailable=98, numberUnavailable=2), CURRENT),
    (daemon(updatedNumberScheduled=100, numberAvailable=60, numberUnavailable=40), CURRENT),
    (live("Certificate", condition("Ready", "False", message="soon")), WAITING),
    (live("Certificate", condition("Ready", "True")), CURRENT),
    (live("Certificate", condition("Stalled", "True", message="no")), FAILED),
    (live("Certificate", condition("Reconciling", "True")), WAITING),
    (live("Certificate", {}), CURRENT),
]


@pytest.mark.parametrize(("given", "state"), TABLE)
def test_health_follows_the_table(given: dict[str, Any], state: HealthState) -> None:
    found = health.judge(given)
    assert found.state is state
    assert found.message or state is CURRENT


def test_nodes_that_were_down_before_do_not_hold_up_a_rollout() -> None:
    given = daemon(updatedNumberScheduled=5, numberAvailable=80, numberUnavailable=20)
    assert health.judge(given, unavailable_before=19).state is WAITING
    assert health.judge(given, unavailable_before=20).state is CURRENT


def test_a_wait_says_what_it_waits_for() -> None:
    assert health.judge(live("Deployment", {"observedGeneration": 1})).message == (
        "its controller has seen generation 1 of 2"
    )
    doomed = live("Namespace", {}, deletionTimestamp="x", finalizers=["kubernetes"])
    assert health.judge(doomed).message == "being deleted, held by kubernetes"
