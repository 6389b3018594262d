"""M02: the cluster and the images that nodes boot agree on versions, as far as an upgrade lets them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from reconcilers.core.model import Diagnostic, Span
from reconcilers.fleet.model import Entity, Fleet
from reconcilers.fleet.rules.rule import Absent, Rule, Title, place

VERSIONS_TITLE = Title("M02", "image.component-versions")
SYSTEM = "system"
"""The file of config/images/ that pins the cluster's own containers; some of them are components too."""
_NUMBERS = re.compile(r"v?([0-9]+)\.([0-9]+)")


def _skew(fleet: Fleet, _absent: Absent) -> Iterator[Diagnostic]:
    for image in fleet.images.values():
        for name, versions in (image.data.get("components") or {}).items():
            span = place(image.spans, f"components.{name}.image", image.span)
            where = place(image.spans, f"components.{name}.cluster", image.span)
            yield from _compared(name, str(versions["cluster"]), str(versions["image"]), span, where)


def _compared(name: str, cluster: str, image: str, span: Span, where: Span) -> Iterator[Diagnostic]:
    if cluster == image:
        return
    ours, theirs = _NUMBERS.match(image), _NUMBERS.match(cluster)
    related = ((where, f"the cluster has {cluster}"),)
    behind = int(theirs[2]) - int(ours[2]) if ours and theirs and ours[1] == theirs[1] else None
    if behind in (0, 1):
        message = f"{name} is {image} on nodes and {cluster} in the cluster, as during an upgrade; finish it"
        yield VERSIONS_TITLE.at(span, message, related=related, severity="warning")
        return
    side = "ahead of" if behind is not None and behind < 0 else "more than one minor version away from"
    message = (
        f"{name} is {image} on nodes, {side} {cluster} in the cluster; nodes may be one minor version behind, no more"
    )
    yield VERSIONS_TITLE.at(span, message, related=related)


def _pinned(fleet: Fleet, absent: Absent) -> Iterator[Diagnostic]:
    """A component that the cluster runs as a container is pinned twice; both must say the same."""
    system = fleet.images.get(SYSTEM)
    if system is None or absent.any("images"):
        return
    for image in fleet.images.values():
        for name, versions in (image.data.get("components") or {}).items():
            pinned = (system.data.get("images") or {}).get(name)
            if pinned is not None and pinned["version"] != versions["cluster"]:
                yield _differs(system, image, name, str(pinned["version"]), str(versions["cluster"]))


def _differs(system: Entity, image: Entity, name: str, pinned: str, version: str) -> Diagnostic:
    span = place(system.spans, f"images.{name}.version", place(system.spans, f"images.{name}", system.span))
    where = place(image.spans, f"components.{name}.cluster", image.span)
    message = f"{name} is pinned as {pinned} here and as {version} in {image.name}; write one version in both"
    return VERSIONS_TITLE.at(span, message, related=((where, f"{version} here"),))


VERSIONS = Rule(
    VERSIONS_TITLE.code,
    VERSIONS_TITLE.name,
    "components have one version in the cluster and on nodes; during an upgrade nodes are one minor version behind",
    "A node joins with the kubelet and the network plug-ins of its boot image, and the control plane supports kubelets "
    "that are one minor version behind it, none that is ahead. While the versions differ within that, an upgrade is "
    "under way, which is a warning. flannel and its plug-in are containers of the cluster too: "
    "config/images/system.yaml pins the version that the components say.",
    each=_skew,
    across=_pinned,
)
