"""Whether a machine that asks to boot is, at this moment, a healthy node of the cluster: then it cannot be booting.

Stage1 asks for nothing but an address, and any program on the machine has that. A node renews its lease every ten
seconds for as long as its kubelet runs, so a fresh lease speaks against a reboot, unless the node was taken out of
service for one. The cluster is a witness, not a condition: where it does not answer, machines boot all the same.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from services.epoxy.tokens import api

_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_LIMITS = api.Limits(connect_s=1.0, read_s=2.0, total_s=3.0)
FRESH_S = 25.0
_LOG = logging.getLogger("epoxy.presence")


class Presence(StrEnum):
    """What the cluster says of a machine."""

    AWAY = "away"
    HEALTHY = "healthy"
    ANNOUNCED = "announced"
    UNKNOWN = "unknown"


class Rule(StrEnum):
    """What follows where a machine is healthy and nobody announced a reboot."""

    IGNORE = "ignore"
    LOG = "log"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class Witness:
    """The cluster, and the rule."""

    cluster: api.Api
    rule: Rule

    def of(self, host: str) -> Presence:
        """Ask for the node and its lease; blocks for three seconds each at most."""
        try:
            node = self.cluster.call("GET", f"/api/v1/nodes/{host}")
            if node.status == 404:
                return Presence.AWAY
            lease = self.cluster.call("GET", f"{_LEASES}/{host}")
            if not node.ok or lease.status not in (200, 404):
                raise (lease if node.ok else node).failed(f"GET node {host}")
            return judge(node.body, lease.body if lease.ok else {}, datetime.now(UTC))
        except (api.Failed, KeyError, ValueError, TypeError) as error:
            _LOG.warning("no witness", extra={"fields": {"machine": host, "error": str(error)[:200]}})
            return Presence.UNKNOWN


def witness(server: str, ca: Path, token_file: Path, rule: Rule) -> Witness:
    return Witness(api.Api(api.Place(server.rstrip("/"), ca, token_file), _LIMITS), rule)


def judge(node: dict[str, Any], lease: dict[str, Any], now: datetime) -> Presence:
    """Of a node and its lease. A node that is cordoned is on its way out; kured does that before it reboots one."""
    renewed = lease.get("spec", {}).get("renewTime")
    if renewed is None or (now - datetime.fromisoformat(renewed)).total_seconds() > FRESH_S:
        return Presence.AWAY
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in node["status"].get("conditions", ()))
    if not ready:
        return Presence.AWAY
    return Presence.ANNOUNCED if node.get("spec", {}).get("unschedulable") else Presence.HEALTHY
