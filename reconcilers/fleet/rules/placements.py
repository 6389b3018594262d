"""E04 and E06: an experiment runs on nodes that there are, with the network that they have."""

from __future__ import annotations

from collections.abc import Iterator

from reconcilers.core.model import Diagnostic
from reconcilers.fleet import node_labels
from reconcilers.fleet.model import PUBLISHED_STATES, Fleet
from reconcilers.fleet.rules.rule import Absent, Rule, Title, place

CLOUD_TITLE = Title("E04", "experiment.cloud")
LABELS_TITLE = Title("E06", "experiment.selector")


def _cloud(fleet: Fleet, _absent: Absent) -> Iterator[Diagnostic]:
    for experiment in fleet.experiments.values():
        placements = experiment.data.get("placements") or ()
        if experiment.cloud and not any(placement["type"] == "virtual" for placement in placements):
            span = place(experiment.spans, "cloud", experiment.span)
            message = (
                f"{experiment.name} is published for virtual machines and runs on none; add a placement of type "
                "virtual, or write cloud: false"
            )
            yield CLOUD_TITLE.at(span, message)
        for position, placement in enumerate(placements):
            host = placement.get("hostNetwork", False)
            span = place(experiment.spans, f"placements.{position}", experiment.span)
            if placement["type"] == "virtual" and not host:
                message = (
                    f"placement {placement['name']} is virtual and not on the host network; a virtual machine has one "
                    "address and no index, so write hostNetwork: true"
                )
                yield CLOUD_TITLE.at(span, message)
            elif not host and experiment.index is None:
                message = (
                    f"placement {placement['name']} of {experiment.name} is not on the host network and has no index "
                    "to make an address of; give it an index, or write hostNetwork: true"
                )
                yield CLOUD_TITLE.at(span, message)


def _selectors(fleet: Fleet, absent: Absent) -> Iterator[Diagnostic]:
    known = _names(fleet, absent)
    for experiment in fleet.experiments.values():
        for position, placement in enumerate(experiment.data.get("placements") or ()):
            labels = node_labels.LABELS[placement["type"]]
            for label, value in (placement.get("selector") or {}).items():
                span = place(experiment.spans, f"placements.{position}.selector.{label}", experiment.span)
                what = f"placement {placement['name']} selects {label}={value}"
                if label not in labels:
                    message = (
                        f"{what}, but no {placement['type']} node has that label; they have {', '.join(sorted(labels))}"
                    )
                    yield LABELS_TITLE.at(span, message)
                    continue
                values = labels[label] or known.get(label, node_labels.ANY)
                if values and value not in values:
                    shown = ", ".join(sorted(values)) if len(values) <= 12 else "those of the fleet"
                    yield LABELS_TITLE.at(span, f"{what}, but a node's value is one of {shown}; write one of them")


def _names(fleet: Fleet, absent: Absent) -> dict[str, frozenset[str]]:
    """Values of labels that hold a name of ours; a kind whose files are not all read is left open."""
    found: dict[str, frozenset[str]] = {}
    if not absent.any("sites"):
        sites = [site for site in fleet.sites.values() if site.lifecycle.state in (*PUBLISHED_STATES, "planned")]
        found["mlab/site"] = frozenset(site.name for site in sites)
        found["mlab/metro"] = frozenset(site.location.metro for site in sites)
    if not absent.any("environments"):
        found["mlab/project"] = frozenset(environment.project for environment in fleet.environments.values())
    return found


CLOUD = Rule(
    CLOUD_TITLE.code,
    CLOUD_TITLE.name,
    "an experiment that is published for virtual machines runs on some, and there on the host's network",
    "`cloud: true` publishes the experiment's name for every virtual machine, so that clients are sent there. A "
    "virtual machine has one address, which all that runs on it share: its placements are on the host network and an "
    "index has no meaning there. The other way round, a pod with an address of its own needs an index.",
    each=_cloud,
)
LABELS = Rule(
    LABELS_TITLE.code,
    LABELS_TITLE.name,
    "placements select by labels that nodes of their type really have",
    "Labels are set once, when a node registers. Physical nodes have "
    + ", ".join(sorted(node_labels.LABELS["physical"]))
    + "; virtual ones "
    + ", ".join(sorted(node_labels.LABELS["virtual"]))
    + ". A selector by anything else, or by a value that no node can have, deploys to no node at all, and nothing says "
    "so. Sites, metros and projects are those of this fleet.",
    across=_selectors,
)
