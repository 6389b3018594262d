"""The targets by name. Each provider is imported when it is needed: two of the clients are slow to load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reconcilers.core.errors import Permanent, UsageError
from reconcilers.core.provider import Provider
from reconcilers.fleet.model import Environment

NAMES = ("buckets", "epoxy", "kubernetes", "monitoring")
"""All targets, in the order in which reports show them."""


def connect(target: str, environment: Environment) -> Provider:
    """The provider of one target of an environment; nothing is contacted before its first call."""
    scope = f"{environment.name}/{target}"
    where = environment.data["targets"].get(target)
    if where is None:
        raise UsageError(f"{scope}: {environment.span.file} has no such target; known: {', '.join(NAMES)}")
    if target == "buckets":
        from reconcilers.providers.buckets import BucketsProvider

        return BucketsProvider(environment)
    if target == "epoxy":
        from reconcilers.providers.epoxy import Epoxy

        return Epoxy(scope, where["url"], where["token"], ca_file=where.get("ca_file"))
    if target == "kubernetes":
        from reconcilers.providers.kubernetes import Kubernetes

        return Kubernetes(scope, _kubeconfig(scope, where), where.get("context"))
    if target == "monitoring":
        from reconcilers.providers import monitoring

        return monitoring.Monitoring(scope, monitoring.settings(environment))
    raise UsageError(f"{target}: no such target; known: {', '.join(NAMES)}")


def _kubeconfig(scope: str, where: Any) -> Path | None:
    """The kubeconfig is a file by nature: its reference names it, and the client reads its keys from there."""
    reference = where.get("kubeconfig")
    if reference is None:
        return None
    path = reference["secretRef"] if isinstance(reference, dict) else str(reference)
    if not path.startswith("file:"):
        raise Permanent(f"{scope}: kubeconfig {path}: only file: references are supported; name the file")
    return Path(path.removeprefix("file:"))
