"""What a change of an object of a cluster means, as far as its kind and fields tell. Pure."""

from __future__ import annotations

from dataclasses import replace

from reconcilers.core.model import Action, Change, Risk

IRREVERSIBLE = ("Namespace", "CustomResourceDefinition", "PersistentVolume", "PersistentVolumeClaim")
RESTARTS_PODS = ("DaemonSet", "Deployment", "StatefulSet")


def assess(change: Change) -> Change:
    """Deleting what holds other things cannot be undone; another template restarts pods."""
    kind = change.id.kind.partition(".")[0]
    if change.action is Action.DELETE:
        return replace(change, risk=Risk.IRREVERSIBLE if kind in IRREVERSIBLE else Risk.DESTRUCTIVE)
    if change.observed is None:
        return change
    if kind in RESTARTS_PODS and any(field.path[:2] == ("spec", "template") for field in change.fields):
        return replace(change, risk=Risk.DISRUPTIVE)
    return change
