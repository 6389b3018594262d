"""What a cluster holds of ours, in the form in which git speaks.

An object is compared where git wants a value or where we own one, never elsewhere, so that another writer's fields are
his. What still holds what we last applied costs no request; for the rest a dry run tells which differences are real
(`1000m` is `1`), which cannot be made at all, and who else holds a field.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from reconcilers.core import canonical
from reconcilers.core.errors import Permanent, Temporary, one_line
from reconcilers.core.model import Id, Json, Observed, Resource
from reconcilers.providers.kubernetes import fields, health, marks
from reconcilers.providers.kubernetes.client import APPLY, Answer, Api, Client

THREADS = 8
FEW = 8
"""Up to so many missing names of a kind are asked for one by one; above, one list of names tells which exist."""
MUST_BE_NEW = "1"
"""A resourceVersion that no live object has: an apply with it creates, or conflicts with what is there."""
CLIENT_SIDE = "kubectl-client-side-apply"
CONFIG_MAPS = Api("", "v1", "ConfigMap", "configmaps", True)
_IMMUTABLE = re.compile(r"immutable|cannot change|may not be changed|updates to \w+ spec", re.IGNORECASE)
_MANAGER = re.compile(r'conflict with "([^"]*)"')
_T = TypeVar("_T")
_R = TypeVar("_R")


@dataclass(frozen=True, slots=True)
class Finding:
    """What looking at an object told besides its value: why it cannot be written, who holds what, what is down."""

    immutable: str = ""
    invalid: str = ""
    held: str = ""
    unavailable: int = 1 << 31
    """Pods down before the change; of an object that was not there, all that there could be."""
    terminating: bool = False


class Live:
    """The cluster seen through the eyes of one scope. Safe for threads; remembers the last finding of each object."""

    def __init__(self, client: Client, scope: str) -> None:
        self.client, self.scope = client, scope
        self.wanted: Mapping[Id, Resource] = {}
        self.renamed: Mapping[Id, Resource] = {}
        """What git wants under a new name, by its former one."""
        self._findings: dict[Id, Finding] = {}

    def finding(self, identity: Id) -> Finding:
        """What was found when the object was last looked at."""
        return self._findings.get(identity, Finding())

    def all(self, wanted: Collection[Id]) -> list[Observed]:
        """Members of the set by label, and whatever else bears a wanted name."""
        parent = self.parent()
        kinds = {identity.kind for identity in wanted} | (marks.listed(parent, marks.KINDS) if parent else set())
        offered = {kind: api for kind in sorted(kinds) if (api := self._api(kind)) is not None}
        label = f"{marks.PART_OF}={marks.set_id(self.scope)}"
        lists = _together(lambda api: self.client.list_all(api, label=label), offered.values())
        live = {marks.identity(item): item for items in lists for item in items}
        missing: dict[str, list[Id]] = {}
        for identity in wanted:
            if identity not in live and identity.kind in offered:
                missing.setdefault(identity.kind, []).append(identity)
        present = _together(lambda kind: self._present(offered[kind], missing[kind]), missing)
        found = _together(self.get, [identity for ids in present for identity in ids])
        live |= {marks.identity(item): item for item in found if item is not None}
        names = frozenset(wanted)
        return _together(
            self.observed, [item for key, item in sorted(live.items()) if key in names or not terminating(item)]
        )

    def get(self, identity: Id) -> dict[str, Any] | None:
        """The live object, or None."""
        answer = self.client.request("GET", self.path(identity))
        if answer.status == 404:
            return None
        if not answer.ok:
            raise answer.error(str(identity))
        return dict(answer.body)

    def parent(self) -> dict[str, Any] | None:
        """The set's parent, or None. One of another tool is not ours to touch."""
        name = marks.parent_name(self.scope)
        answer = self.client.request("GET", CONFIG_MAPS.path(marks.HOME, name))
        if answer.absent:
            return None
        if not answer.ok:
            raise answer.error(f"{self.scope}: the set's parent")
        tool = marks.foreign_tool(answer.body)
        if tool:
            raise Permanent(
                f"ConfigMap {marks.HOME}/{name} belongs to {tool}, not to {marks.TOOL}; rename or remove it"
            )
        return dict(answer.body)

    def path(self, identity: Id, version: str = "") -> str:
        """URL path of an object."""
        api = self._api(identity.kind, version)
        if api is None:
            self.client.discover()
            api = self._api(identity.kind, version)
        if api is None:  # a definition that was just established appears in discovery a moment later
            raise Temporary(f"{identity}: the server does not offer the kind {identity.kind} {version}".rstrip())
        _, _, namespace, name = marks.split(identity)
        return api.path(namespace, name)

    def patch(self, body: Json, *, force: bool = False, dry: bool = False, version: str = "", uid: str = "") -> Answer:
        """Server-side apply; `version` and `uid` are preconditions."""
        meta = dict(body["metadata"])
        meta |= {"resourceVersion": version} if version else {}
        meta |= {"uid": uid} if uid else {}
        query = {"fieldManager": fields.MANAGER, "fieldValidation": "Strict"}
        query |= {"force": "true"} if force else {}
        query |= {"dryRun": "All"} if dry else {}
        path = self.path(marks.identity(body), str(body["apiVersion"]).rpartition("/")[2])
        return self.client.request("PATCH", path, query=query, body={**body, "metadata": meta}, content_type=APPLY)

    def observed(self, live: Json) -> Observed:
        """One live object, compared with what git wants of it."""
        identity = marks.identity(live)
        resource = self.wanted.get(identity)
        finding = Finding(unavailable=health.unavailable(live), terminating=terminating(live))
        spec, note = dict[str, Any](), ""
        if finding.terminating:
            meta = {"name": live["metadata"]["name"], "deletionTimestamp": live["metadata"]["deletionTimestamp"]}
            spec, note = {"apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": meta}, "being deleted"
        elif resource is None:
            spec = self._unwanted(identity, live)
        else:
            wanted = marks.desired(resource, self.scope)
            if self.in_place(wanted, live):
                spec = wanted
            else:
                spec, finding, note = self._compared(resource, wanted, live, finding)
        self._findings[identity] = finding
        protect = marks.notes_of(live).get(marks.PROTECT) == "true"
        return Observed(identity, spec, marks.owner(live), protect, live["metadata"]["uid"], note)

    def _unwanted(self, identity: Id, live: Json) -> dict[str, Any]:
        """What git has no more; of a renamed object, as the new one would have it, so that little seems to differ."""
        renamed = self.renamed.get(identity)
        if renamed is None or renamed.id.kind != identity.kind:
            identified = {key: live["metadata"][key] for key in ("name", "namespace") if key in live["metadata"]}
            return _seen({"apiVersion": "", "kind": "", "metadata": dict.fromkeys(identified, "")}, live)
        wanted = marks.desired(renamed, self.scope)
        seen = _seen(wanted, live)
        result = self.patch(wanted, dry=True)  # in the server's spelling, as the live one is
        if not result.ok:
            return seen
        settled: dict[str, Any] = fields.settle(wanted, seen, _seen(wanted, result.body))
        return settled

    def in_place(self, wanted: Json, live: Json) -> bool:
        """True if what is wanted was applied by us and is there still."""
        if marks.notes_of(live).get(marks.DIGEST) != canonical.sha256(wanted):
            return False
        return fields.holds(wanted, live, marks.without_marks(fields.owned(live)), fields.shape(live) or None)

    def _api(self, kind: str, version: str = "") -> Api | None:
        name, _, group = kind.partition(".")
        return self.client.find(name, group, version)

    def _present(self, api: Api, missing: Sequence[Id]) -> Sequence[Id]:
        if len(missing) <= FEW:
            return missing
        names = {marks.identity(item) for item in self.client.list_all(api, metadata_only=True)}
        return [identity for identity in missing if identity in names]

    def _compared(
        self, resource: Resource, wanted: Json, live: Json, finding: Finding
    ) -> tuple[dict[str, Any], Finding, str]:
        seen, note = _seen(wanted, live, adopted=resource.adopt and not fields.owned(live)), ""
        secret = secretive(resource)
        result = self.patch(wanted, dry=True)
        if result.is_field_conflict():
            names = [str(cause.get("field")) for cause in result.causes()]
            note = f"changed by {_holders(result, names)}"
            strange = fields.never_ours(names, wanted, marks.notes_of(live).get(marks.FIELDS, ""))
            strange = [field for field in strange if field not in resource.take_over]
            if strange and not resource.adopt:
                advice = "leave them out of git, or name them in `ownership.take_over` of the environment"
                held = f"fields that we never applied are held by {_holders(result, strange)}; {advice}"
                finding = replace(finding, held=one_line(held, 512))
            result = self.patch(wanted, dry=True, force=True)
        if result.ok:
            return fields.settle(wanted, seen, _seen(wanted, result.body)), finding, note
        words = str(result.error("the server refuses it", secret=secret))
        if result.status == 422 and any(_IMMUTABLE.search(str(c.get("message"))) for c in result.causes()):
            return seen, replace(finding, immutable=words), note
        if result.is_refusal():
            return seen, replace(finding, invalid=words), note
        if result.status == 409:  # replaced or deleted since it was listed; the write will find out
            return seen, finding, note
        raise result.error(str(resource.id), secret=secret)


def terminating(live: Json) -> bool:
    """True for an object that is gone as soon as its finalizers let go."""
    return bool(live["metadata"].get("deletionTimestamp"))


def secretive(resource: Resource) -> bool:
    """True if the server's words about it may quote what must not be printed."""
    return bool(resource.sensitive) or resource.id.kind == "Secret"


def _seen(wanted: Json, live: Json, *, adopted: bool = False) -> dict[str, Any]:
    """The live object through our eyes; of one to be adopted, what client-side apply owned will be ours too."""
    mine = fields.owned(live, CLIENT_SIDE, "Update") if adopted else fields.owned(live)
    return dict(fields.view(wanted, marks.unmarked(live), marks.without_marks(mine), fields.shape(live) or None))


def _holders(result: Answer, names: Collection[str]) -> str:
    held: dict[str, list[str]] = {}
    for cause in result.causes():
        manager = _MANAGER.search(str(cause.get("message")))
        if cause.get("field") in names:
            held.setdefault(manager.group(1) if manager else "another manager", []).append(str(cause.get("field")))
    return one_line("; ".join(f"{manager}: {', '.join(sorted(paths))}" for manager, paths in sorted(held.items())))


def _together(call: Callable[[_T], _R], items: Iterable[_T]) -> list[_R]:
    """Call for each item, side by side, in order; an exception of one is raised."""
    listed = list(items)
    if len(listed) < 2:
        return [call(item) for item in listed]
    with ThreadPoolExecutor(min(THREADS, len(listed)), thread_name_prefix="kubernetes") as pool:
        return list(pool.map(call, listed))
