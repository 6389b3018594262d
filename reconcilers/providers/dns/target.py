"""Opens the DNS target of an environment: which server it is, by `targets.dns.provider`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reconcilers.core.errors import Permanent
from reconcilers.fleet.model import Environment
from reconcilers.providers.dns.provider import Dns
from reconcilers.providers.dns.records import Backend
from reconcilers.providers.dns.update import LIMITS, UpdateServer, address

CLOUD_RATE_PER_S = 5.0
"""Changes; the API's default quota is some ten calls of any kind a second for a project."""


def connect(environment: Environment, answer_limit_s: float = float("inf")) -> Dns:
    """The provider; nothing is contacted before its first call, nor waited for longer than the limit."""
    where = environment.data["targets"]["dns"]
    scope = f"{environment.name}/dns"
    rate = {"rate_per_s": CLOUD_RATE_PER_S} if where["provider"] == "clouddns" else {}
    return Dns(scope, where["zones"], _backend(environment, where, answer_limit_s), **rate)


def _backend(environment: Environment, where: Any, answer_limit_s: float) -> Backend:
    ask = tuple(address(server) for server in where.get("ask") or ())
    kind = where["provider"]
    if kind == "rfc2136":
        return UpdateServer(where["server"], where["key"], ask, LIMITS.at_most(answer_limit_s))
    if kind == "zonefile":
        from reconcilers.providers.dns.zonefile import ZoneFiles

        return ZoneFiles(Path(where["directory"]), where.get("checkzone") or "named-checkzone", ask)
    if kind == "clouddns":
        from reconcilers.providers.dns import cloud

        project = where.get("project") or environment.project
        return cloud.CloudDns(project, where, ask, cloud.LIMITS.at_most(answer_limit_s))
    raise Permanent(f"targets.dns.provider {kind}: unknown; known: rfc2136, zonefile, clouddns")
