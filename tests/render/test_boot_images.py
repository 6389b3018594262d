"""Boot images as objects of the boot bucket: which, in which order, and whose pins count."""

from __future__ import annotations

from typing import Any

from reconcilers.core.model import Id, Resource, Span
from reconcilers.fleet.model import Entity
from reconcilers.render import buckets
from tests import fleet_values as values
from tests.render.test_buckets import entity

BUCKET = "epoxy-mlab-sandbox"
PINS = {"manifest.json": "sha256:" + "b" * 64, "manifest.json.sig": "sha256:" + "c" * 64}
RELEASE = {
    "built": "2026-11-25",
    "files": {"stage1_kernel.vmlinuz": "sha256:" + "a" * 64},
    "environments": {"sandbox": {**PINS, "stage2to3.json": "sha256:" + "d" * 64}},
}


def objects(*, releases: Any, name: str = "sandbox", bucket: bool = True, **data: Any) -> dict[str, Resource]:
    image = Entity("Image", "stage3_ubuntu", {"type": "boot", "releases": releases}, Span("config/images/x.yaml", 2))
    entities = [entity("epoxy-{project}")] if bucket else []
    fleet = values.fleet(values.lga05(), buckets=entities, images=[image])
    environment = values.environment(name, data={"targets": {"buckets": {"images": "/srv/images"}}, **data})
    found = buckets.resources(fleet, environment)
    return {r.id.name.partition("/")[2]: r for r in found if r.content is not None}


def test_a_release_is_a_folder_of_the_boot_bucket_and_its_manifest_comes_last() -> None:
    found = objects(releases={"v2.1.10": RELEASE})
    folder = "v2.1.10/stage3_ubuntu"
    names = ("manifest.json", "manifest.json.sig", "stage1_kernel.vmlinuz", "stage2to3.json")
    assert list(found) == [f"{folder}/{name}" for name in names]
    kernel, manifest = found[f"{folder}/stage1_kernel.vmlinuz"], found[f"{folder}/manifest.json"]
    assert kernel.spec == {
        "bucket": BUCKET,
        "name": f"{folder}/stage1_kernel.vmlinuz",
        "contentType": "application/octet-stream",
        "cacheControl": "private, max-age=0, no-transform",
        "sha256": "a" * 64,
    }
    assert kernel.content == f"/srv/images/{folder}/stage1_kernel.vmlinuz"
    assert kernel.deps == {Id("Bucket", BUCKET)} and not kernel.exact
    assert manifest.exact and manifest.deps > {kernel.id, found[f"{folder}/stage2to3.json"].id}


def test_only_what_was_built_for_an_environment_is_in_its_bucket() -> None:
    planned = {"built": None, "files": {"stage1_kernel.vmlinuz": None}}
    assert objects(releases={"v2.1.9": planned}) == {}
    assert objects(releases={"v2.1.10": RELEASE}, name="staging") == {}
    assert objects(releases={"v2.1.10": RELEASE}, bucket=False) == {}


def test_what_a_checkout_built_stands_in_place_of_the_committed_release_of_that_name() -> None:
    overlay = {"v2.1.10": {"stage3_ubuntu": PINS}, "v2.1.11": {"stage3_update": PINS}}
    found = objects(releases={"v2.1.10": RELEASE, "v2.1.9": RELEASE}, images=overlay)
    folders = {name.rpartition("/")[0]: 0 for name in found}
    for name in found:
        folders[name.rpartition("/")[0]] += 1
    assert folders == {"v2.1.10/stage3_ubuntu": 2, "v2.1.11/stage3_update": 2, "v2.1.9/stage3_ubuntu": 4}
