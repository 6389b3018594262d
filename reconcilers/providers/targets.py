"""The targets by name. Each provider is imported when it is needed: two of the clients are slow to load."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from reconcilers.core.errors import Permanent, UsageError
from reconcilers.core.model import Change
from reconcilers.core.provider import Provider
from reconcilers.fleet.model import Environment

NAMES = ("buckets", "epoxy", "kubernetes", "dns", "monitoring")
"""All targets, in the order in which reports show them."""


def connect(target: str, environment: Environment, answer_limit_s: float = float("inf")) -> Provider:
    """The provider of one target of an environment; nothing is contacted before its first call.

    No answer of a server is waited for longer than `answer_limit_s`; each provider has a lower limit of its own.
    """
    scope = f"{environment.name}/{target}"
    where = environment.data["targets"].get(target)
    if where is None:
        raise UsageError(f"{scope}: {environment.span.file} has no such target; known: {', '.join(NAMES)}")
    if target == "buckets":
        from reconcilers.providers.buckets import api as buckets_api
        from reconcilers.providers.buckets import provider as buckets

        return buckets.BucketsProvider(environment, buckets_api.LIMITS.at_most(answer_limit_s))
    if target == "epoxy":
        from reconcilers.providers.epoxy import provider as epoxy

        limits = epoxy.LIMITS.at_most(answer_limit_s)
        return epoxy.Epoxy(scope, where["url"], where["token"], ca_file=where.get("ca_file"), limits=limits)
    if target == "kubernetes":
        from reconcilers.providers.kubernetes import client as kubernetes_client
        from reconcilers.providers.kubernetes import provider as kubernetes

        limits = kubernetes_client.LIMITS.at_most(answer_limit_s)
        return kubernetes.Kubernetes(scope, _kubeconfig(scope, where), where.get("context"), limits)
    if target == "dns":
        from reconcilers.providers.dns import target as dns_target

        return dns_target.connect(environment, answer_limit_s)
    if target == "monitoring":
        from reconcilers.providers.monitoring import provider as monitoring
        from reconcilers.providers.monitoring import servers as monitoring_servers

        limits = monitoring_servers.LIMITS.at_most(answer_limit_s)
        return monitoring.Monitoring(scope, monitoring.settings(environment), limits)
    raise UsageError(f"{target}: no such target; known: {', '.join(NAMES)}")


def assess(target: str, change: Change) -> Change:
    """What a change means at its target, as far as that can be told without asking it: no client is loaded."""
    assessed: Change = import_module(f"reconcilers.providers.{target}.rules").assess(change)
    return assessed


def _kubeconfig(scope: str, where: Any) -> Path | None:
    """The kubeconfig is a file by nature: its reference names it, and the client reads its keys from there."""
    reference = where.get("kubeconfig")
    if reference is None:
        return None
    path = reference["secretRef"] if isinstance(reference, dict) else str(reference)
    if not path.startswith("file:"):
        raise Permanent(f"{scope}: kubeconfig {path}: only file: references are supported; name the file")
    return Path(path.removeprefix("file:"))
