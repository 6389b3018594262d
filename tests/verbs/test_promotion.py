"""`mlab smoke` and `mlab promote`: what goes from one environment to the next, and what stays where it is."""

from __future__ import annotations

import pytest

from tests import fleets
from tests.light import GROUP, Light

pytestmark = GROUP
STAGING = "config/environments/staging.yaml"


def change(light: Light, old: str = "city: New York", new: str = "city: New York City") -> None:
    for site in ("lga05", "lga1t"):
        fleets.edit(light.checkout.root, f"config/sites/{site}.yaml", old, new)
    light.checkout.commit("Another city")


def test_a_commit_goes_on_once_the_environment_before_runs_it(light: Light) -> None:
    change(light)
    early = light.checkout.mlab("promote", "staging", "--yes")
    assert early.status == 3 and "staging does not get " in early.err and "sandbox/buckets runs " in early.err
    assert light.checkout.apply("sandbox").status == 0
    done = light.checkout.mlab("promote", "staging", "--yes")
    assert done.status == 0 and "staging/buckets: " in done.out and "as sandbox runs it since" in done.err, done.err
    assert light.checkout.plan("staging")[0] == 0
    again = light.checkout.mlab("promote", "staging", "--yes")
    assert again.status == 0 and "nothing to do" in again.out
    unseen = light.checkout.mlab("promote", "production", "--yes")
    assert unseen.status == 3 and "not applied unseen" in unseen.err, unseen.out + unseen.err


def test_a_part_of_the_environment_before_is_not_enough(light: Light) -> None:
    change(light)
    assert light.checkout.apply("sandbox", "--target", "epoxy").status == 0
    done = light.checkout.mlab("promote", "staging", "--yes")
    assert done.status == 3 and "sandbox/buckets runs " in done.err and "sandbox/epoxy" not in done.err


@pytest.mark.parametrize(
    ("rule", "said"),
    [("soak_s: 3600", "sandbox must have run it for 3600 s, until "), ('tag: "v*"', "it has no tag v*")],
)
def test_what_git_asks_of_a_promotion_is_asked(light: Light, rule: str, said: str) -> None:
    fleets.edit(light.checkout.root, STAGING, "{after: sandbox}", f"{{after: sandbox, {rule}}}")
    light.checkout.commit("Ask for more")
    assert light.checkout.apply("sandbox").status == 0
    done = light.checkout.mlab("promote", "staging", "--yes")
    assert done.status == 3 and said in done.err, done.out + done.err
    if "tag" in rule:
        light.checkout.git("tag", "v1.2.3")
        assert light.checkout.mlab("promote", "staging", "--yes").status == 0
        light.checkout.git("tag", "-d", "v1.2.3")


def test_the_first_environment_gets_nothing_promoted(applied: Light) -> None:
    done = applied.checkout.mlab("promote", "sandbox", "--yes")
    assert done.status == 1 and "has no `promotion.after`: use `mlab apply`" in done.err


def test_what_was_applied_and_works_passes(applied: Light) -> None:
    done = applied.checkout.mlab("smoke", "--env", "sandbox", "--env", "staging")
    assert done.status == 0 and done.out.count("as applied, healthy") == 2, done.out + done.err


def test_what_was_not_applied_does_not_pass(light: Light) -> None:
    change(light)
    done = light.checkout.mlab("smoke", "--env", "sandbox")
    assert done.status == 4
    assert "sandbox/epoxy: it runs " in done.out and "changes are not applied" in done.out, done.out


def test_what_somebody_broke_does_not_pass(light: Light) -> None:
    name = "mlab1-lga1t.mlab-sandbox.measurement-lab.test"
    found = light.host("GET", "sandbox", name)
    record = light.record("sandbox", name)
    changed = light.host(
        "PUT",
        "sandbox",
        name,
        json={**record, "ImagesVersion": "v2.1.7"},
        headers={"If-Match": found.headers["ETag"]},
    )
    assert changed.ok, changed.text
    done = light.checkout.mlab("smoke", "--env", "sandbox", "--for", "600", "--every", "0.1")
    assert done.status == 4 and f"sandbox/epoxy: 1 changes are not applied (Host/{name})" in done.out, done.out
    assert "asking once more" in done.err


def test_what_nobody_can_read_does_not_pass(light: Light) -> None:
    path = "/storage/v1/b/siteinfo-mlab-sandbox/iam"
    policy = light.store("GET", "sandbox", path).json()
    kept = [binding for binding in policy["bindings"] if "allUsers" not in binding["members"]]
    assert len(kept) < len(policy["bindings"])
    assert light.store("PUT", "sandbox", path, json={**policy, "bindings": kept}).ok
    done = light.checkout.mlab("smoke", "--env", "sandbox")
    assert done.status == 4
    assert "Object/siteinfo-mlab-sandbox/v2/index.json: nobody can read it: 403" in done.out, done.out
