"""Buckets, their permissions and published objects in Cloud Storage.

Marks: labels on a bucket, metadata on an object. Of a bucket's permissions only the grants that we made are ours;
which these are is kept in a small object of the records bucket, written before the policy so that a crash loses none.
A published object is compared by digest; its content is the resource's payload. It is first stored under its content's
digest, then under its name, so that a reader of an index that has just been replaced still finds every file that the
index names.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from msgspec import structs

from reconcilers.core.errors import Conflict, Permanent, one_line
from reconcilers.core.model import Action, Change, Health, HealthState, Id, Json, Observed, Owner, Resource
from reconcilers.core.provider import Capabilities, Context, Holder
from reconcilers.fleet import published
from reconcilers.fleet.model import Environment
from reconcilers.providers.buckets import form, release_files, rules
from reconcilers.providers.buckets.api import LIMITS, Absent, Api, bucket_path, crc32c, object_path
from reconcilers.providers.buckets.lock import BEGUN, ObjectLock, unlock
from reconcilers.providers.time_limits import Limits

CREATED_ONLY = ("location",)
GRANTS = "_mlab/grants/"
COPIES = "_versions/"
_CRC32C = "(crc32c "
PUBLISHING = ("siteinfo-", "operator-", "epoxy-")
"""What the buckets are called that hold files of ours: those in them that git no longer has are deleted."""


class BucketsProvider:
    """`<environment>/buckets`."""

    capabilities = Capabilities(max_concurrency=8, rate_per_s=200.0)

    def __init__(self, environment: Environment, limits: Limits = LIMITS) -> None:
        self.scope = f"{environment.name}/buckets"
        self._api = Api(environment, limits)
        self._records: str = environment.data["targets"]["buckets"]["records"]
        self._published: dict[str, Resource] = {}
        self._objects_in: set[str] = set()

    def prepare(self, resources: Sequence[Resource]) -> None:
        """Remember the wanted contents: the service tells another digest of a live object than a plan shows."""
        self._published = {r.id.name: r for r in resources if r.id.kind == "Object"}
        self._objects_in = {str(r.spec["bucket"]) for r in self._published.values()}

    def observe(self, wanted: Collection[Id]) -> Iterable[Observed]:
        """One list of buckets, one of grants, and one of objects for each bucket that we publish in or would delete."""
        ids = set(wanted)
        live = {found["name"]: found for found in self._api.pages("/b", {"project": self._api.project})}
        for name, found in live.items():
            if BEGUN not in found.get("labels", {}):
                item = form.bucket(name, found)
                spare = item.owner is not None and item.id not in ids
                yield structs.replace(item, note=self._held(name)) if spare else item
        yield from self._grants(live)
        publishing = {identity.name.partition("/")[0] for identity in wanted if identity.kind == "Object"}
        publishing |= self._objects_in | {name for name in live if name.startswith(PUBLISHING)}
        for bucket in sorted(publishing & live.keys()):
            for found in self._api.pages(f"{bucket_path(bucket)}/o", {}):
                if not found["name"].startswith((COPIES, "_mlab/")):
                    yield self._object(bucket, found)

    def _held(self, bucket: str) -> str:
        """What stands in the way of a bucket's deletion; empty if it holds nothing, former versions included."""
        try:
            found = self._api.call("GET", f"{bucket_path(bucket)}/o", {"versions": "true", "maxResults": 1})
        except Permanent as error:
            return f"what it holds cannot be listed ({one_line(str(error), 120)})"
        first = next((item["name"] for item in found.get("items", ())), None)
        if first is None and not found.get("nextPageToken"):
            return ""
        return "it holds objects" + (f", {one_line(first, 80)} among them" if first else "")

    def _grants(self, live: Mapping[str, Any]) -> Iterator[Observed]:
        if self._records not in live:
            return
        for found in self._api.pages(f"{bucket_path(self._records)}/o", {"prefix": GRANTS}):
            bucket = found["name"].removeprefix(GRANTS)
            record, generation = self._api.document(self._records, found["name"])
            if bucket not in live or record is None:
                continue
            ours, owner = self._recorded(found["name"], record)
            granted = sorted(ours & self.grants(bucket))
            bindings = [{"role": role, "member": member} for role, member in granted]
            yield Observed(Id("BucketIam", bucket), {"bindings": bindings}, owner, token=str(generation))

    def _recorded(self, name: str, record: Mapping[str, Any]) -> tuple[set[form.Grant], Owner]:
        """Our grants on a bucket and the mark beside them, as `_record` wrote them."""
        try:
            return form.pairs(record["grants"]), Owner(**record["owner"])
        except (KeyError, TypeError, ValueError):
            raise Permanent(
                f"{self._records}/{name}: it is no record of grants; restore a former version of it, or remove it"
            ) from None

    def _object(self, bucket: str, found: Mapping[str, Any]) -> Observed:
        name = f"{bucket}/{found['name']}"
        wanted, size = self._published.get(name), int(found["size"])
        digest = f"{_CRC32C}{found['crc32c']})"
        of_release = wanted is not None and wanted.content is not None
        if wanted is not None and of_release:
            digest = release_files.digest(found, wanted) or digest
        elif wanted is not None and size == wanted.spec["size"] and found["crc32c"] == crc32c(_payload(wanted)):
            digest = wanted.spec["sha256"]
        spec: dict[str, Any] = {
            "bucket": bucket,
            "name": found["name"],
            "contentType": found.get("contentType"),
            "cacheControl": found.get("cacheControl"),
            "sha256": digest,
        }
        if not of_release:
            spec["size"] = size
        if found["name"] == published.EMBARGO:
            spec["rules"] = published.embargo_by_name(self._api.download(bucket, found))
        return Observed(Id("Object", name), spec, form.object_owner(found), token=found["generation"])

    def normalise(self, resource: Resource) -> Json:
        """Absent policies are null, as in what is observed; a protected bucket carries the mark as a label."""
        if resource.id.kind != "Bucket":
            return resource.spec
        spec = {key: value for key, value in resource.spec.items() if value is not None}
        labels = dict(spec.get("labels", {}))
        if resource.protect:
            labels[form.PROTECT] = "true"
        return form.complete({**spec, "labels": labels})

    def assess(self, change: Change) -> Change:
        """See `rules`. The records bucket holds the lock under which it would be deleted: never."""
        if change.action is Action.DELETE and change.id == Id("Bucket", self._records):
            why = "it holds this environment's lock and records: move them in git first, then delete it by hand"
            return replace(change, blocked=why, impossible=True)
        change = rules.assess(change)
        why = release_files.missing(change)
        return replace(change, blocked=why) if why and change.blocked is None else change

    def apply(self, changes: Sequence[Change], context: Context) -> None:
        """One change, under the precondition of what was observed."""
        for change in changes:
            context.fault(f"buckets.{change.action}.before {change.id}")
            context.still_held()
            if change.action is Action.FORGET:
                self._forget(change)
            elif change.id.kind == "Bucket":
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
        body = {key: value for key, value in self.normalise(change.desired).items() if key in form.OWNED}
        body["labels"] = {**body["labels"], **form.bucket_marks(change.id.name, context.mark(change))}
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

    def _forget(self, change: Change) -> None:
        """Take our marks away; labels, grants and contents stay as they are."""
        token = change.observed.token if change.observed else None
        try:
            if change.id.kind == "Bucket":
                body: Mapping[str, Any] = {"labels": form.NO_BUCKET_MARKS}
                self._api.call("PATCH", bucket_path(change.id.name), {"ifMetagenerationMatch": token}, body)
            elif change.id.kind == "BucketIam":
                record = object_path(self._records, f"{GRANTS}{change.id.name}")
                self._api.call("DELETE", record, {"ifGenerationMatch": token})
            else:
                bucket, _, name = change.id.name.partition("/")
                body = {"metadata": form.NO_OBJECT_MARKS}
                self._api.call("PATCH", object_path(bucket, name), {"ifGenerationMatch": token}, body)
        except Absent:
            return

    def _write_grants(self, change: Change, context: Context) -> None:
        bucket = change.id.name
        name = f"{GRANTS}{bucket}"
        record, generation = self._api.document(self._records, name)
        if str(generation or None) != str((change.observed.token if change.observed else None) or None):
            raise Conflict(f"{change.id}: another run changed the record of our grants")
        owned = self._recorded(name, record)[0] if record else set()
        wanted = (
            form.pairs([(b["role"], b["member"]) for b in change.desired.spec["bindings"]]) if change.desired else set()
        )
        generation = self._record(name, owned | wanted, context.mark(change), generation)
        context.fault(f"buckets.grants.recorded {change.id}")
        policy = self._policy(bucket)
        after = form.with_grants(policy, add=wanted, remove=owned - wanted)
        if after["bindings"] != policy.get("bindings", []):
            self._api.call("PUT", f"{bucket_path(bucket)}/iam", {}, after)
        context.fault(f"buckets.grants.set {change.id}")
        if change.desired is None:
            self._api.call("DELETE", object_path(self._records, name), {"ifGenerationMatch": generation})
        elif owned - wanted:
            self._record(name, wanted, context.mark(change), generation)

    def _record(self, name: str, grants: set[form.Grant], mark: Owner, generation: int) -> int:
        owner = {key: getattr(mark, key) for key in ("owner", "env", "scope", "source", "commit")}
        content = json.dumps({"owner": owner, "grants": sorted(grants)}).encode()
        resource = {"name": name, "contentType": "application/json", "cacheControl": "no-store"}
        return self._api.upload(self._records, resource, content, {"ifGenerationMatch": generation})

    def grants(self, bucket: str) -> set[form.Grant]:
        """Who may do what there without a condition, whoever gave it."""
        return form.granted(self._policy(bucket))

    def _policy(self, bucket: str) -> dict[str, Any]:
        query = {"optionsRequestedPolicyVersion": 3}
        found: dict[str, Any] = self._api.call("GET", f"{bucket_path(bucket)}/iam", query)
        return found

    def _write_object(self, change: Change, context: Context) -> None:
        if change.desired is not None and change.desired.content is not None:
            release_files.write(self._api, change, context.mark(change))
            return
        generation = change.observed.token if change.observed else 0
        bucket, _, name = change.id.name.partition("/")
        if change.observed is not None:
            self._keep_former(bucket, name, change.observed, context.mark(change))
            context.fault(f"buckets.kept {change.id}")
        if change.action is Action.DELETE:
            try:
                self._api.call("DELETE", object_path(bucket, name), {"ifGenerationMatch": generation})
            except Absent:
                return
            return
        assert change.desired is not None
        spec, content = change.desired.spec, _payload(change.desired)
        digest = spec["sha256"]
        resource = {
            "name": f"{COPIES}{digest}/{name}",
            "contentType": spec["contentType"],
            "cacheControl": spec["cacheControl"],
            "metadata": form.object_marks(name, digest, context.mark(change)),
        }
        try:
            self._api.upload(bucket, resource, content, {"ifGenerationMatch": 0})
        except Conflict:
            pass  # the same content was published before
        context.fault(f"buckets.copied {change.id}")
        self._api.upload(bucket, {**resource, "name": name}, content, {"ifGenerationMatch": int(generation or 0)})

    def _keep_former(self, bucket: str, name: str, former: Observed, mark: Owner) -> None:
        """Make the copy of what is about to go anew: its age, by which it is deleted one day, counts from now."""
        known = str(former.spec["sha256"])
        if not known.startswith(_CRC32C):
            return  # only its marks change: what it holds does not go
        found = {"name": name, "generation": former.token, "crc32c": known.removeprefix(_CRC32C).rstrip(")")}
        try:
            content = self._api.download(bucket, found)
        except Absent:
            return  # somebody removed it: what follows finds that out
        digest = hashlib.sha256(content).hexdigest()
        resource = {
            "name": f"{COPIES}{digest}/{name}",
            "contentType": former.spec["contentType"],
            "cacheControl": former.spec["cacheControl"],
            "metadata": form.object_marks(name, digest, mark),
        }
        self._api.upload(bucket, resource, content, {})

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


def _payload(resource: Resource) -> bytes:
    assert resource.payload is not None, f"{resource.id} is wanted without its content"
    return resource.payload
