"""Buckets, their permissions and published objects in Cloud Storage.

Marks: labels on a bucket, metadata on an object. Of a bucket's permissions only the grants that we made are ours;
which these are is kept in a small object of the records bucket, written before the policy so that a crash loses none.
A published object is first stored under its content's digest, then under its name, so that a reader of an index that
has just been replaced still finds every file that the index names.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from reconcilers.core.errors import Conflict, Permanent
from reconcilers.core.model import Action, Change, Health, HealthState, Id, Json, Observed, Owner, Resource
from reconcilers.core.provider import Capabilities, Context, Holder
from reconcilers.fleet.model import Environment
from reconcilers.providers import buckets_rules
from reconcilers.providers.buckets_api import Absent, Api, bucket_path, crc32c, object_path
from reconcilers.providers.buckets_lock import BEGUN, ObjectLock, read, unlock

OWNED = (
    "location",
    "storageClass",
    "versioning",
    "lifecycle",
    "retentionPolicy",
    "iamConfiguration",
    "labels",
    "cors",
    "softDeletePolicy",
)
CREATED_ONLY = ("location",)
MARK = "mlab-"
PROTECT = "mlab-protect"
GRANTS = "_mlab/grants/"
COPIES = "_versions/"
MAX_SHOWN_BYTES = 1 << 20
"""A live object of up to this size is fetched for the plan's diff; of a larger one only digest and size are shown."""

Grant = tuple[str, str]


class BucketsProvider:
    """`<environment>/buckets`."""

    capabilities = Capabilities(max_concurrency=8, rate_per_s=200.0)

    def __init__(self, environment: Environment) -> None:
        self.scope = f"{environment.name}/buckets"
        self._api = Api(environment)
        self._records: str = environment.data["targets"]["buckets"]["records"]
        self._published: dict[str, str] = {}
        self._objects_in: set[str] = set()

    def prepare(self, resources: Sequence[Resource]) -> None:
        """Remember the wanted contents: a live object with the same checksum need not be fetched."""
        wanted = [r for r in resources if r.id.kind == "Object"]
        self._published = {r.id.name: str(r.spec["content"]) for r in wanted}
        self._objects_in = {str(r.spec["bucket"]) for r in wanted}

    def observe(self, wanted: Collection[Id]) -> Iterable[Observed]:
        """One list of buckets, one of grants, and one of objects for each bucket that we publish in."""
        live = {found["name"]: found for found in self._api.pages("/b", {"project": self._api.project})}
        for name, found in live.items():
            if BEGUN not in found.get("labels", {}):
                yield _bucket(name, found)
        yield from self._grants(live)
        publishing = {identity.name.partition("/")[0] for identity in wanted if identity.kind == "Object"}
        publishing |= self._objects_in | {name for name in live if name.startswith("siteinfo-")}
        for bucket in sorted(publishing & live.keys()):
            for found in self._api.pages(f"{bucket_path(bucket)}/o", {}):
                if not found["name"].startswith((COPIES, "_mlab/")):
                    yield self._object(bucket, found)

    def _grants(self, live: Mapping[str, Any]) -> Iterator[Observed]:
        if self._records not in live:
            return
        for found in self._api.pages(f"{bucket_path(self._records)}/o", {"prefix": GRANTS}):
            bucket = found["name"].removeprefix(GRANTS)
            record, generation = read(self._api, self._records, found["name"])
            if bucket not in live or record is None:
                continue
            ours = _pairs(record["grants"])
            granted = sorted(ours & _granted(self._policy(bucket)))
            bindings = [{"role": role, "member": member} for role, member in granted]
            yield Observed(
                Id("BucketIam", bucket), {"bindings": bindings}, Owner(**record["owner"]), token=str(generation)
            )

    def _object(self, bucket: str, found: Mapping[str, Any]) -> Observed:
        name = f"{bucket}/{found['name']}"
        wanted = self._published.get(name)
        size = int(found["size"])
        if wanted is not None and crc32c(wanted.encode()) == found["crc32c"] and size == len(wanted.encode()):
            content = wanted
        elif size <= MAX_SHOWN_BYTES:
            content = self._api.download(bucket, found["name"]).decode(errors="replace")
        else:
            content = f"({size} bytes, crc32c {found['crc32c']})"
        spec = {
            "bucket": bucket,
            "name": found["name"],
            "contentType": found.get("contentType"),
            "cacheControl": found.get("cacheControl"),
            "content": content,
        }
        data = found.get("metadata", {})
        mark = None
        if f"{MARK}owner" in data:
            mark = Owner(*(data.get(f"{MARK}{key}", "") for key in ("owner", "env", "scope", "source", "commit")))
        return Observed(Id("Object", name), spec, mark, token=found["generation"])

    def normalise(self, resource: Resource) -> Json:
        """Absent policies are null, as in what is observed; a protected bucket carries the mark as a label."""
        if resource.id.kind != "Bucket":
            return resource.spec
        spec = {key: value for key, value in resource.spec.items() if value is not None}
        labels = dict(spec.get("labels", {}))
        if resource.protect:
            labels[PROTECT] = "true"
        return _complete({**spec, "labels": labels})

    def assess(self, change: Change) -> Change:
        """See `buckets_rules`."""
        return buckets_rules.assess(change)

    def apply(self, changes: Sequence[Change], context: Context) -> None:
        """One change, under the precondition of what was observed."""
        for change in changes:
            context.fault(f"buckets.{change.action}.before {change.id}")
            context.still_held()
            if change.id.kind == "Bucket":
                self._write_bucket(change, context)
            elif change.id.kind == "BucketIam":
                self._write_grants(change, context)
            else:
                self._write_object(change, context)
            context.fault(f"buckets.{change.action}.after {change.id}")

    def _write_bucket(self, change: Change, context: Context) -> None:
        path = bucket_path(change.id.name)
        token = change.observed.token if change.observed else None
        if change.action is Action.DELETE:
            try:
                self._api.call("DELETE", path, {"ifMetagenerationMatch": token})
            except Absent:
                return
            except Conflict as error:
                raise Permanent(f"{change.id}: only an empty bucket is deleted: {error}") from error
            return
        assert change.desired is not None
        body = {key: value for key, value in self.normalise(change.desired).items() if key in OWNED}
        mark = context.mark(change)
        stem = mark.source.rpartition("/")[2].removesuffix(".yaml")
        commit = mark.commit.partition("+")[0][:40]
        marks = {"owner": mark.owner, "env": mark.env, "commit": commit, "source": stem}
        body["labels"] = {**body["labels"], **{f"{MARK}{key}": value for key, value in marks.items()}}
        locked = bool((body.get("retentionPolicy") or {}).get("isLocked"))
        if change.observed is None:
            token = self._create_bucket(change, body)
            if token is None:
                return
        else:
            former = set((change.observed.spec or {}).get("labels", {}))
            body["labels"].update(dict.fromkeys(former - set(body["labels"])))
            patch = {key: value for key, value in body.items() if key not in CREATED_ONLY}
            if patch.get("retentionPolicy"):
                patch["retentionPolicy"] = {"retentionPeriod": patch["retentionPolicy"]["retentionPeriod"]}
            answer = self._api.call("PATCH", path, {"ifMetagenerationMatch": token}, patch)
            token = answer["metageneration"]
        if locked and not ((change.observed.spec if change.observed else {}).get("retentionPolicy") or {}).get(
            "isLocked"
        ):
            context.fault(f"buckets.lock.before {change.id}")
            self._api.call("POST", f"{path}/lockRetentionPolicy", {"ifMetagenerationMatch": token})

    def _create_bucket(self, change: Change, body: Mapping[str, Any]) -> str | None:
        made = {key: value for key, value in body.items() if value is not None}
        if made.get("retentionPolicy"):
            made["retentionPolicy"] = {"retentionPeriod": made["retentionPolicy"]["retentionPeriod"]}
        try:
            answer = self._api.call("POST", "/b", {"project": self._api.project}, {"name": change.id.name, **made})
        except Conflict:
            live = self._api.call("GET", bucket_path(change.id.name))
            if BEGUN not in live.get("labels", {}):
                raise
            patch = {key: value for key, value in made.items() if key not in CREATED_ONLY}
            patch["labels"] = {**made["labels"], BEGUN: None}
            query = {"ifMetagenerationMatch": live["metageneration"]}
            answer = self._api.call("PATCH", bucket_path(change.id.name), query, patch)
        return str(answer["metageneration"])

    def _write_grants(self, change: Change, context: Context) -> None:
        bucket = change.id.name
        name = f"{GRANTS}{bucket}"
        record, generation = read(self._api, self._records, name)
        if str(generation or None) != str((change.observed.token if change.observed else None) or None):
            raise Conflict(f"{change.id}: another run changed the record of our grants")
        owned = _pairs(record["grants"]) if record else set()
        wanted = (
            _pairs([(b["role"], b["member"]) for b in change.desired.spec["bindings"]]) if change.desired else set()
        )
        generation = self._record(name, owned | wanted, context.mark(change), generation)
        context.fault(f"buckets.grants.recorded {change.id}")
        policy = self._policy(bucket)
        after = _with_grants(policy, add=wanted, remove=owned - wanted)
        if after["bindings"] != policy.get("bindings", []):
            self._api.call("PUT", f"{bucket_path(bucket)}/iam", {}, after)
        context.fault(f"buckets.grants.set {change.id}")
        if change.desired is None:
            self._api.call("DELETE", object_path(self._records, name), {"ifGenerationMatch": generation})
        elif owned - wanted:
            self._record(name, wanted, context.mark(change), generation)

    def _record(self, name: str, grants: set[Grant], mark: Owner, generation: int) -> int:
        owner = {key: getattr(mark, key) for key in ("owner", "env", "scope", "source", "commit")}
        content = json.dumps({"owner": owner, "grants": sorted(grants)}).encode()
        resource = {"name": name, "contentType": "application/json", "cacheControl": "no-store"}
        blob = self._api.upload(self._records, resource, content, {"ifGenerationMatch": generation})
        return int(blob.generation)

    def _policy(self, bucket: str) -> dict[str, Any]:
        query = {"optionsRequestedPolicyVersion": 3}
        found: dict[str, Any] = self._api.call("GET", f"{bucket_path(bucket)}/iam", query)
        return found

    def _write_object(self, change: Change, context: Context) -> None:
        generation = change.observed.token if change.observed else 0
        bucket, _, name = change.id.name.partition("/")
        if change.action is Action.DELETE:
            try:
                self._api.call("DELETE", object_path(bucket, name), {"ifGenerationMatch": generation})
            except Absent:
                return
            return
        assert change.desired is not None
        spec = change.desired.spec
        content = str(spec["content"]).encode()
        digest = hashlib.sha256(content).hexdigest()
        mark = context.mark(change)
        metadata = {f"{MARK}{key}": getattr(mark, key) for key in ("owner", "env", "scope", "source", "commit")}
        resource = {
            "name": f"{COPIES}{digest}/{name}",
            "contentType": spec["contentType"],
            "cacheControl": spec["cacheControl"],
            "metadata": {**metadata, f"{MARK}sha256": digest},
        }
        try:
            self._api.upload(bucket, resource, content, {"ifGenerationMatch": 0})
        except Conflict:
            pass  # the same content was published before
        context.fault(f"buckets.copied {change.id}")
        self._api.upload(bucket, {**resource, "name": name}, content, {"ifGenerationMatch": int(generation or 0)})

    def health(self, identity: Id) -> Health:
        """What the service acknowledged is there."""
        return Health(HealthState.CURRENT)

    def lock(self, holder: Holder, ttl_s: float) -> ObjectLock:
        """Take the scope's lock object."""
        return ObjectLock(self._api, self._records, self.scope, holder, ttl_s)

    def unlock(self, identity: str) -> None:
        """Remove the lock of exactly that holder."""
        unlock(self._api, self._records, self.scope, identity)

    def close(self) -> None:
        """Give back connections."""
        self._api.close()


def _bucket(name: str, found: Mapping[str, Any]) -> Observed:
    labels = dict(found.get("labels", {}))
    mark = None
    if f"{MARK}owner" in labels:
        stem = labels.get(f"{MARK}source", "")
        source = f"config/buckets/{stem}.yaml" if stem else ""
        env, commit = labels.get(f"{MARK}env", ""), labels.get(f"{MARK}commit", "")
        mark = Owner(labels[f"{MARK}owner"], env, "", source, commit)
    marks = {f"{MARK}{key}" for key in ("owner", "env", "commit", "source")}
    spec = {key: found[key] for key in OWNED if key in found}
    spec["labels"] = {key: value for key, value in labels.items() if key not in marks}
    return Observed(
        Id("Bucket", name), _complete(spec), mark, protect=PROTECT in labels, token=str(found["metageneration"])
    )


def _complete(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Owned fields in one form: defaults filled in, numbers as the API writes them, times of the server left out."""
    access = spec.get("iamConfiguration", {})
    retention = spec.get("retentionPolicy")
    made = {
        **{key: spec[key] for key in ("location", "storageClass") if key in spec},
        "versioning": {"enabled": bool(spec.get("versioning", {}).get("enabled", False))},
        "lifecycle": {"rule": [dict(rule) for rule in (spec.get("lifecycle") or {}).get("rule", ())]},
        "retentionPolicy": None,
        "iamConfiguration": {
            "uniformBucketLevelAccess": {
                "enabled": bool(access.get("uniformBucketLevelAccess", {}).get("enabled", False))
            },
            "publicAccessPrevention": access.get("publicAccessPrevention", "inherited"),
        },
        "labels": dict(spec.get("labels", {})),
        "cors": [dict(rule) for rule in spec.get("cors") or ()],
    }
    if retention:
        period = str(retention["retentionPeriod"])
        made["retentionPolicy"] = {"retentionPeriod": period, "isLocked": bool(retention.get("isLocked", False))}
    return made


def _pairs(grants: Iterable[Sequence[str]]) -> set[Grant]:
    return {(role, member) for role, member in grants}


def _granted(policy: Mapping[str, Any]) -> set[Grant]:
    plain = [binding for binding in policy.get("bindings", ()) if not binding.get("condition")]
    return {(binding["role"], member) for binding in plain for member in binding["members"]}


def _with_grants(policy: Mapping[str, Any], *, add: set[Grant], remove: set[Grant]) -> dict[str, Any]:
    """The policy with our grants; bindings with a condition and everybody else's members stay as they are."""
    conditional = [binding for binding in policy.get("bindings", ()) if binding.get("condition")]
    roles: dict[str, set[str]] = {}
    for role, member in (_granted(policy) - remove) | add:
        roles.setdefault(role, set()).add(member)
    plain = [{"role": role, "members": sorted(members)} for role, members in sorted(roles.items())]
    return {**policy, "version": 3, "bindings": [*plain, *conditional]}
