"""Files of boot releases: streamed into the bucket once, compared by digest, never taken for what they are not."""

from __future__ import annotations

import hashlib
import resource as limits
from pathlib import Path

import pytest

from reconcilers.core.errors import Permanent
from reconcilers.core.model import Action, Id, Owner, Resource, Result, Risk, Span
from reconcilers.providers.buckets import release_files
from reconcilers.providers.buckets.api import CHUNK_BYTES, object_path
from tests.buckets.test_conformance import BASE, BucketsHarness, bucket
from tests.conformance import suite

EPOXY = "epoxy-mlab-sandbox"
NAME = "v2.1.10/stage3_ubuntu/stage3_initramfs_ubuntu.cpio.gz"

pytestmark = pytest.mark.xdist_group("buckets-releases")


@pytest.fixture
def harness(url: str) -> BucketsHarness:
    return BucketsHarness(url)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """More than two of the parts that an upload has, with an odd end."""
    path = tmp_path / "large"
    block = bytes(range(256)) * 4096
    with path.open("wb") as file:
        for number in range(2 * CHUNK_BYTES // len(block) + 1):
            file.write(block[number % 7 :])
    return path


def released(path: Path, name: str = NAME, sha256: str = "") -> Resource:
    spec = {
        "bucket": EPOXY,
        "name": name,
        "contentType": "application/octet-stream",
        "cacheControl": "private, max-age=0, no-transform",
        "sha256": sha256 or hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    deps = frozenset({Id("Bucket", EPOXY)})
    return Resource(Id("Object", f"{EPOXY}/{name}"), spec, Span("config/images/x.yaml"), deps, content=str(path))


def wanted(*files: Resource) -> tuple[Resource, ...]:
    return (*BASE, bucket(EPOXY), *files)


def test_a_large_file_goes_up_in_parts_once_and_the_next_plan_is_empty(harness: BucketsHarness, large: Path) -> None:
    desired = wanted(released(large))
    before_kib = limits.getrusage(limits.RUSAGE_SELF).ru_maxrss
    suite.applied(harness, desired)
    grown_kib = limits.getrusage(limits.RUSAGE_SELF).ru_maxrss - before_kib
    assert grown_kib < 8 * CHUNK_BYTES // 1024, "the file is not held whole, however large it is"
    live = harness.api.call("GET", object_path(EPOXY, NAME))
    assert harness.api.download(EPOXY, live) == large.read_bytes()
    assert suite.plan(harness.provider(), desired).changes == ()
    assert not [item for item in harness.api.pages(f"/b/{EPOXY}/o", {}) if item["name"] != NAME], "no second copy"


def test_a_machine_without_the_files_plans_and_says_which_it_would_need(harness: BucketsHarness, large: Path) -> None:
    desired = wanted(released(large))
    suite.applied(harness, desired)
    sha256 = str(desired[-1].spec["sha256"])
    elsewhere = wanted(released(Path("/nonexistent/large"), sha256=sha256))
    assert suite.plan(harness.provider(), elsewhere).changes == ()
    another = wanted(released(Path("/nonexistent/large"), sha256="f" * 64))
    (change,) = suite.plan(harness.provider(), another).changes
    assert change.action is Action.UPDATE and change.risk is Risk.DISRUPTIVE
    assert (
        change.blocked is not None and "its content is not on this machine: run `mlab images release`" in change.blocked
    )
    outcomes = suite.apply(harness.provider(), another).outcomes
    assert [outcome.result for outcome in outcomes] == [Result.BLOCKED]


def test_what_somebody_put_in_its_place_is_seen_although_it_bears_our_marks(
    harness: BucketsHarness, large: Path
) -> None:
    desired = wanted(released(large))
    suite.applied(harness, desired)
    marks = harness.api.call("GET", object_path(EPOXY, NAME))["metadata"]
    harness.api.upload(EPOXY, {"name": NAME, "metadata": marks}, b"something else", {})
    (change,) = suite.plan(harness.provider(), desired).changes
    assert ("sha256",) in [field.path for field in change.fields]
    assert "a release is changed under its name" in change.reason
    suite.applied(harness, desired)
    assert harness.api.call("GET", object_path(EPOXY, NAME))["size"] == str(large.stat().st_size)


def test_a_header_that_was_changed_is_mended_without_an_upload(harness: BucketsHarness, large: Path) -> None:
    desired = wanted(released(large))
    suite.applied(harness, desired)
    before = harness.api.call("PATCH", object_path(EPOXY, NAME), {}, {"cacheControl": "public, max-age=600"})
    elsewhere = wanted(released(Path("/nonexistent/large"), sha256=str(desired[-1].spec["sha256"])))
    suite.applied(harness, elsewhere)
    after = harness.api.call("GET", object_path(EPOXY, NAME))
    assert after["cacheControl"] == "private, max-age=0, no-transform"
    assert after["generation"] == before["generation"], "the content was sent again"


def test_a_file_that_is_not_the_pinned_one_is_never_uploaded(harness: BucketsHarness, large: Path) -> None:
    suite.applied(harness, wanted())
    (outcome,) = suite.apply(harness.provider(), wanted(released(large, sha256="a" * 64))).outcomes
    assert outcome.result is Result.FAILED_PERMANENT
    assert f"{large}: its SHA-256 is" in outcome.error and f"git pins {'a' * 64}" in outcome.error
    assert not list(harness.api.pages(f"/b/{EPOXY}/o", {}))


def test_an_object_of_somebody_else_with_the_right_content_is_known_by_the_file(
    harness: BucketsHarness, large: Path
) -> None:
    item = released(large)
    crc32c, _ = release_files.checksums(large)
    assert release_files.digest({"crc32c": crc32c}, item) == item.spec["sha256"]
    assert release_files.digest({"crc32c": "AAAAAA=="}, item) is None
    assert release_files.digest({"crc32c": crc32c}, released(Path("/nonexistent"), sha256="a" * 64)) is None


def test_a_file_that_vanishes_between_plan_and_write_is_one_line(harness: BucketsHarness, large: Path) -> None:
    suite.applied(harness, wanted())
    desired = wanted(released(large))
    (change,) = suite.plan(harness.provider(), desired).changes
    large.unlink()
    with pytest.raises(Permanent, match="No such file or directory; git pins it as"):
        release_files.write(harness.api, change, Owner("mlab-reconciler", "sandbox", "sandbox/buckets"))


def test_a_release_that_git_no_longer_has_is_removed(harness: BucketsHarness, large: Path) -> None:
    suite.applied(harness, wanted(released(large)))
    (change,) = suite.plan(harness.provider(), wanted()).changes
    assert change.action is Action.DELETE and change.risk is Risk.DESTRUCTIVE
