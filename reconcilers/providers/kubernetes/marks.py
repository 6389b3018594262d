"""The marks on live objects that say whose they are, and the record of the whole set (ApplySet, KEP-3659).

Each object bears the label of its set and annotations with its owner and its own id: an object that was copied with
all its labels names another id and is not ours. The parent of the set lists kinds and namespaces that hold members, so
that a kind that git no longer has is still found and pruned.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from reconcilers.core import canonical
from reconcilers.core.model import Id, Json, Owner, Resource
from reconcilers.providers.kubernetes import fields

PREFIX = "mlab.io/"
OWNER, ENV, SCOPE, SOURCE, COMMIT = (PREFIX + word for word in ("owner", "env", "scope", "source", "commit"))
IDENTITY, DIGEST, FIELDS, PROTECT = (PREFIX + word for word in ("id", "desired-sha256", "fields", "protect"))
DESCRIBING = frozenset({OWNER, ENV, SCOPE, SOURCE, COMMIT, IDENTITY, DIGEST, FIELDS})
"""Annotations that describe our last write; what git wants is compared without them."""
PART_OF = "applyset.kubernetes.io/part-of"
SET_ID = "applyset.kubernetes.io/id"
TOOLING = "applyset.kubernetes.io/tooling"
KINDS = "applyset.kubernetes.io/contains-group-kinds"
NAMESPACES = "applyset.kubernetes.io/additional-namespaces"
TOOL, VERSION = "mlab-reconciler", "v1.0.0"
HOME = "kube-system"
"""Namespace of the set's parent and of the lock: it is always there and cannot be deleted."""


def parent_name(scope: str) -> str:
    """Name of the scope's parent ConfigMap and of its Lease: `mlab-reconciler-sandbox-kubernetes`."""
    return f"{TOOL}-{scope.replace('/', '-')}"


def set_id(scope: str) -> str:
    """The label value of the scope's members."""
    return applyset_id(parent_name(scope), HOME, "ConfigMap", "")


def applyset_id(name: str, namespace: str, kind: str, group: str) -> str:
    """KEP-3659: `applyset-` + base64url(SHA-256(`name.namespace.kind.group`)) without padding + `-v1`."""
    digest = hashlib.sha256(f"{name}.{namespace}.{kind}.{group}".encode()).digest()
    return f"applyset-{base64.urlsafe_b64encode(digest).decode().rstrip('=')}-v1"


def split(identity: Id) -> tuple[str, str, str, str]:
    """Kind, group, namespace, name of `DaemonSet.apps/ns/name`."""
    kind, _, group = identity.kind.partition(".")
    namespace, _, name = identity.name.rpartition("/")
    return kind, group, namespace, name


def identity(manifest: Json) -> Id:
    """The id of a manifest or a live object."""
    group = str(manifest["apiVersion"]).rpartition("/")[0]
    meta = manifest["metadata"]
    kind = str(manifest["kind"]) + (f".{group}" if group else "")
    return Id(kind, f"{meta['namespace']}/{meta['name']}" if meta.get("namespace") else str(meta["name"]))


def desired(resource: Resource, scope: str) -> dict[str, Any]:
    """What git wants, with the parts of our marks that never change, without empty values."""
    spec: dict[str, Any] = _without_nulls(dict(resource.spec))
    meta = dict(spec["metadata"])
    meta["labels"] = {**meta.get("labels", {}), PART_OF: set_id(scope)}
    if resource.protect:
        meta["annotations"] = {**meta.get("annotations", {}), PROTECT: "true"}
    spec["metadata"] = meta
    return spec


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(child) for key, child in value.items() if child is not None}
    return [_without_nulls(child) for child in value] if isinstance(value, list | tuple) else value


def marked(wanted: Json, owner: Owner) -> dict[str, Any]:
    """The body to apply: what git wants and who wants it. The commit is written only together with a change."""
    notes = {
        OWNER: owner.owner,
        ENV: owner.env,
        SCOPE: owner.scope,
        SOURCE: owner.source,
        COMMIT: owner.commit,
        IDENTITY: str(identity(wanted)),
        DIGEST: canonical.sha256(wanted),
        FIELDS: fields.fingerprints(wanted),
    }
    meta = dict(wanted["metadata"])
    meta["annotations"] = {**meta.get("annotations", {}), **notes}
    return {**wanted, "metadata": meta}


def owner(live: Json) -> Owner | None:
    """The owner that the live object names, or None where it names none or another object."""
    notes = notes_of(live)
    if OWNER not in notes or notes.get(IDENTITY) != str(identity(live)):
        return None
    return Owner(notes[OWNER], *(notes.get(key, "") for key in (ENV, SCOPE, SOURCE, COMMIT)))


def notes_of(live: Json) -> Mapping[str, str]:
    """Annotations of a live object."""
    return live["metadata"].get("annotations") or {}


def unmarked(live: Json) -> dict[str, Any]:
    """The live object without those annotations."""
    meta = dict(live["metadata"])
    notes = {key: value for key, value in notes_of(live).items() if key not in DESCRIBING}
    meta.pop("annotations", None)
    if notes:
        meta["annotations"] = notes
    return {**live, "metadata": meta}


def without_marks(trees: fields.Tree) -> fields.Tree:
    """Our field tree without those annotations."""
    meta = dict(trees.get("f:metadata") or {})
    notes = {k: v for k, v in (meta.get("f:annotations") or {}).items() if k.removeprefix("f:") not in DESCRIBING}
    if any(key != "." for key in notes):
        meta["f:annotations"] = notes
    else:
        meta.pop("f:annotations", None)
    return {**trees, "f:metadata": meta}


def parent(scope: str, members: Iterable[Id], former: Json | None, *, exact: bool) -> dict[str, Any]:
    """The parent for these members; unless `exact`, it names what the former one named as well."""
    members = list(members)
    kinds = {member.kind for member in members}
    namespaces = {split(member)[2] for member in members} - {"", HOME}
    if not exact and former is not None:
        kinds |= listed(former, KINDS)
        namespaces |= listed(former, NAMESPACES)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": parent_name(scope),
            "namespace": HOME,
            "labels": {SET_ID: set_id(scope)},
            "annotations": {
                TOOLING: f"{TOOL}/{VERSION}",
                KINDS: ",".join(sorted(kinds)),
                NAMESPACES: ",".join(sorted(namespaces)),
            },
        },
    }


def listed(live: Json, key: str) -> set[str]:
    """A comma-separated annotation as a set."""
    return set(filter(None, notes_of(live).get(key, "").split(",")))


def foreign_tool(live: Json) -> str:
    """The other tool that a parent belongs to, or nothing."""
    tool = notes_of(live).get(TOOLING, "")
    return "" if tool.partition("/")[0] == TOOL else (tool or "nobody")


def same_parent(live: Json | None, wanted: Json) -> bool:
    """True if there is nothing to write."""
    if live is None:
        return False
    labels = live["metadata"].get("labels") or {}
    notes = notes_of(live)
    kept = all(notes.get(key) == value for key, value in wanted["metadata"]["annotations"].items())
    return kept and labels.get(SET_ID) == wanted["metadata"]["labels"][SET_ID]
