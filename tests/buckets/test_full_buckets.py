"""A bucket that holds anything is never deleted: the plan says so, and the write refuses what came in between."""

from __future__ import annotations

from datetime import date

import pytest

from reconcilers.core import engine, policy
from reconcilers.core.model import Action, Change, Id, Plan, Result
from reconcilers.providers.buckets.api import bucket_path, object_path
from reconcilers.providers.buckets.provider import BucketsProvider
from tests import faultproxy
from tests.buckets.test_conformance import BASE, PROJECT, BucketsHarness, bucket, environment
from tests.conformance import suite

pytestmark = pytest.mark.xdist_group("buckets-full")

SPARE = Id("Bucket", "spare-mlab-sandbox")
PERMITTED = policy.Ack(
    "config/acks/spare.yaml",
    "it is not needed any more",
    date(2026, 2, 1),
    (policy.Allowance(Action.DELETE, f"sandbox/buckets/{SPARE}", 1),),
)
GONE = tuple(BASE)
"""What git wants once the spare bucket is out of it."""


@pytest.fixture
def harness(url: str) -> BucketsHarness:
    """A store with a spare bucket of ours in it, empty."""
    made = BucketsHarness(url)
    suite.applied(made, (*BASE, bucket(SPARE.name)))
    return made


def put(harness: BucketsHarness, name: str = "data/one") -> None:
    harness.api.upload(SPARE.name, {"name": name}, b"precious", {})


def judged(harness: BucketsHarness, endpoint: str = "") -> Plan:
    provider = BucketsProvider(environment(endpoint or harness.url))
    made = engine.observe(engine.Work(provider, GONE), suite.QUICK)
    provider.close()
    return policy.check([made], suite.OPEN, [PERMITTED], date(2026, 1, 1)).plans[0]


def deletion(made: Plan) -> Change:
    (change,) = [change for change in made.changes if change.id == SPARE]
    return change


def applied(harness: BucketsHarness, made: Plan, **options: object) -> engine.ScopeResult:
    work = engine.Work(harness.provider(), GONE)
    return engine.apply([work], [made], suite.options(**options))[0]


def is_there(harness: BucketsHarness) -> bool:
    return SPARE.name in {found["name"] for found in harness.api.pages("/b", {"project": PROJECT})}


def test_an_empty_bucket_is_deleted_with_its_acknowledgement(harness: BucketsHarness) -> None:
    made = judged(harness)
    assert deletion(made).ack == PERMITTED.file and not deletion(made).blocked
    assert [o.result for o in applied(harness, made).outcomes] == [Result.APPLIED]
    assert not is_there(harness)


def test_the_plan_refuses_the_deletion_of_a_bucket_that_holds_objects_whatever_is_acknowledged(
    harness: BucketsHarness,
) -> None:
    put(harness)
    change = deletion(judged(harness))
    assert change.impossible and change.ack is None
    assert change.blocked == (
        "it holds objects, data/one among them: only an empty bucket is deleted; "
        "put its file back, or empty it by hand and plan again"
    )
    assert [o.result for o in applied(harness, judged(harness)).outcomes] == [Result.BLOCKED]
    assert is_there(harness)


def test_a_former_version_counts_as_an_object(harness: BucketsHarness) -> None:
    harness.api.call("PATCH", bucket_path(SPARE.name), {}, {"versioning": {"enabled": True}})
    put(harness)
    harness.api.call("DELETE", object_path(SPARE.name, "data/one"))
    assert deletion(judged(harness)).impossible


def test_a_bucket_that_fills_after_its_plan_is_refused_under_the_lock(harness: BucketsHarness) -> None:
    made = judged(harness)
    put(harness)
    (outcome,) = applied(harness, made).outcomes
    assert outcome.result is Result.BLOCKED and "data/one" in outcome.error
    assert is_there(harness)


def test_a_bucket_that_fills_just_before_the_write_is_refused_by_the_store(harness: BucketsHarness) -> None:
    def fault(point: str) -> None:
        if point == f"buckets.delete.before {SPARE}":
            put(harness)

    (outcome,) = applied(harness, judged(harness), fault=fault).outcomes
    assert outcome.result is Result.FAILED_PERMANENT and "only an empty bucket is deleted" in outcome.error
    assert is_there(harness)


def test_a_bucket_whose_objects_may_not_be_listed_is_not_taken_for_empty(harness: BucketsHarness) -> None:
    with faultproxy.FaultProxy(harness.url) as proxy:
        proxy.fault = faultproxy.status(403, only=lambda method, path: f"/b/{SPARE.name}/o" in path)
        change = deletion(judged(harness, proxy.url))
    assert change.impossible and change.blocked and "cannot be listed" in change.blocked


def test_a_bucket_that_git_wants_is_not_listed_for_it(harness: BucketsHarness) -> None:
    with faultproxy.FaultProxy(harness.url) as proxy:
        provider = BucketsProvider(environment(proxy.url))
        wanted = (*BASE, bucket(SPARE.name))
        assert engine.observe(engine.Work(provider, wanted), suite.QUICK).complete
        provider.close()
        assert not [path for _, path in proxy.seen if f"/b/{SPARE.name}/o" in path]
