"""`mlab adopt` and `mlab forget` against the real registry and store."""

from __future__ import annotations

import json

import pytest

from tests.light import GROUP, Light

pytestmark = GROUP
HOST = "mlab1-lga1t.mlab-sandbox.measurement-lab.test"
NAME = f"epoxy/Host/{HOST}"


def audited(light: Light, action: str) -> list[str]:
    """Who was written with an action, by the audit lines in the bucket."""
    listed = light.object("GET", "sandbox", "mlab-reconciler-mlab-sandbox", "", params={"prefix": "audit/"}).json()
    found = []
    for entry in listed.get("items", ()):
        text = light.object("GET", "sandbox", entry["bucket"], entry["name"], params={"alt": "media"}).text
        lines = [json.loads(line) for line in text.splitlines()]
        found += [line["id"] for line in lines if line["action"] == action and line["outcome"] == "applied"]
    return found


def times(light: Light, action: str) -> int:
    """How often the host was written with an action, by any test so far."""
    return audited(light, action).count(f"Host/{HOST}")


def test_a_host_is_forgotten_with_its_boot_untouched_and_adopted_again(light: Light) -> None:
    before, told = light.record("sandbox", HOST), {action: times(light, action) for action in ("forget", "adopt")}
    done = light.checkout.mlab("forget", "--env", "sandbox", NAME, "--yes")
    assert done.status == 0 and "remove it from git too" in done.err, done.out + done.err
    after = light.record("sandbox", HOST)
    assert before["Owner"] and after["Owner"] is None
    assert {k: v for k, v in after.items() if k != "Owner"} == {k: v for k, v in before.items() if k != "Owner"}
    status, plan = light.checkout.plan("sandbox")
    (change,) = [change for scope in plan["scopes"] for change in scope["changes"]]
    assert status == 3 and change["action"] == "adopt" and change["blocked"]

    again = light.checkout.mlab("forget", "--env", "sandbox", NAME, "--yes")
    assert again.status == 1 and "none of it is ours" in again.err

    done = light.checkout.mlab("adopt", "--env", "sandbox", NAME, "--yes")
    assert done.status == 0 and "1 adopted" in done.out, done.out + done.err
    assert light.record("sandbox", HOST)["Owner"]["owner"] == "mlab"
    assert light.checkout.plan("sandbox")[0] == 0
    assert {action: times(light, action) - count for action, count in told.items()} == {"forget": 1, "adopt": 1}


def test_adopting_writes_nothing_but_what_was_named(light: Light) -> None:
    other = "mlab1-dfw09.mlab-sandbox.measurement-lab.test"
    names = [NAME, *([f"epoxy/Host/{other}"] if light.host("GET", "sandbox", other).ok else [])]
    assert light.checkout.mlab("forget", "--env", "sandbox", *names, "--yes").status == 0
    assert light.checkout.mlab("adopt", "--env", "sandbox", NAME, "--yes").status == 0
    _, plan = light.checkout.plan("sandbox")
    left = [change["id"] for scope in plan["scopes"] for change in scope["changes"]]
    assert left == [f"Host/{other}"] * (len(names) - 1)
    assert light.checkout.mlab("adopt", "--env", "sandbox", "epoxy/Host/*", "--yes").status in (0, 1)


def test_what_git_does_not_want_any_more_can_be_forgotten_instead_of_deleted(light: Light) -> None:
    (light.checkout.root / "config/sites/lga1t.yaml").unlink()
    light.checkout.commit("Without lga1t")
    assert light.checkout.mlab("forget", "--env", "sandbox", NAME, "--yes").status == 0
    _, plan = light.checkout.plan("sandbox", "--target", "epoxy")
    assert plan["counts"]["delete"] == 0
    assert light.host("GET", "sandbox", HOST).ok
    light.checkout.git("revert", "--no-edit", "HEAD")
    assert light.checkout.mlab("adopt", "--env", "sandbox", NAME, "--yes").status == 0


def test_a_bucket_is_forgotten_with_its_objects_and_grants_untouched(light: Light) -> None:
    names = ["buckets/Bucket/embargo-mlab-sandbox", "buckets/Object/*/embargo/rules.json"]
    done = light.checkout.mlab("forget", "--env", "sandbox", *names, "--yes")
    assert done.status == 0, done.out + done.err
    listed = light.object("GET", "sandbox", "siteinfo-mlab-sandbox", "embargo/rules.json").json()
    assert not any(key.startswith("mlab-") for key in listed.get("metadata") or {})
    _, plan = light.checkout.plan("sandbox", "--target", "buckets")
    actions = {change["id"]: change["action"] for scope in plan["scopes"] for change in scope["changes"]}
    assert actions == {
        "Bucket/embargo-mlab-sandbox": "adopt",
        "Object/siteinfo-mlab-sandbox/embargo/rules.json": "adopt",
    }
    assert light.checkout.mlab("adopt", "--env", "sandbox", *names, "--yes").status == 0


def test_a_bucket_made_by_hand_is_written_as_a_file_that_plans_its_adoption_and_nothing_else(light: Light) -> None:
    name = "surveys-mlab-sandbox"
    body = {
        "name": name,
        "location": "EU",
        "storageClass": "NEARLINE",
        "versioning": {"enabled": True},
        "labels": {"team": "surveys"},
        "lifecycle": {"rule": [{"action": {"type": "Delete"}, "condition": {"age": 30}}]},
        "retentionPolicy": {"retentionPeriod": "86400"},
        "softDeletePolicy": {"retentionDurationSeconds": "0"},
        "iamConfiguration": {
            "uniformBucketLevelAccess": {"enabled": True},
            "publicAccessPrevention": "enforced",
        },
    }
    assert light.store("POST", "sandbox", "/storage/v1/b", params={"project": "mlab-sandbox"}, json=body).ok
    member = "serviceAccount:surveys@mlab-sandbox.iam.gserviceaccount.com"
    path = f"/storage/v1/b/{name}/iam"
    policy = light.store("GET", "sandbox", path).json()
    bindings = [*policy.get("bindings", ()), {"role": "roles/storage.objectViewer", "members": [member]}]
    assert light.store("PUT", "sandbox", path, json={**policy, "bindings": bindings}).ok
    try:
        done = light.checkout.mlab("adopt", "--dump", "--env", "sandbox", f"buckets/Bucket/{name}")
        assert done.status == 0 and "config/buckets/surveys.yaml: written" in done.out, done.out + done.err
        text = (light.checkout.root / "config/buckets/surveys.yaml").read_text()
        assert "adopt: true" in text and "serviceAccount:surveys@{project}.iam" in text
        again = light.checkout.mlab("adopt", "--dump", "--env", "sandbox", f"buckets/Bucket/{name}")
        assert again.status == 1 and "nothing of that name is live without a mark" in again.err
        light.checkout.commit("Keep the surveys")
        _, plan = light.checkout.plan("sandbox", "--target", "buckets")
        changes = {change["id"]: change for scope in plan["scopes"] for change in scope["changes"]}
        assert {key: change["action"] for key, change in changes.items()} == {
            f"Bucket/{name}": "adopt",
            f"BucketIam/{name}": "create",
        }
        adopted = changes[f"Bucket/{name}"]
        assert not adopted["blocked"] and [field["path"] for field in adopted["fields"]] == [["labels", "mlab-protect"]]
        assert light.checkout.plan("staging", "--target", "buckets")[1]["counts"]["create"] == 0
    finally:
        assert light.store("DELETE", "sandbox", f"/storage/v1/b/{name}").ok


def test_what_git_wants_already_is_named_for_the_file_of_its_environment(light: Light) -> None:
    assert light.checkout.mlab("forget", "--env", "sandbox", NAME, "--yes").status == 0
    done = light.checkout.mlab("adopt", "--dump", "--env", "sandbox", "epoxy/Host/*")
    assert done.status == 0 and f"ownership:\n  adopt:\n    - {NAME}\n" in done.out, done.out + done.err
    assert light.record("sandbox", HOST)["Owner"] is None


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("adopt", "--env", "sandbox", NAME, "--yes"), 1, "nothing to adopt"),
        (("adopt", "--env", "sandbox", "epoxy/Host/nobody", "--yes"), 1, "nothing to adopt"),
        (("adopt", "--env", "sandbox", HOST, "--yes"), 1, "name a resource as TARGET/KIND/NAME"),
        (("adopt", "--dump", "--env", "sandbox", NAME), 1, "nothing of that name is live without a mark"),
        (("adopt", "--env", "moon", NAME, "--yes"), 1, "no such environment"),
        (("forget", "--env", "sandbox", NAME), 1, "without a terminal give --yes"),
        (("forget", "--env", "sandbox", NAME, "--yes", "--digest", "0" * 12), 3, "changed since its approval"),
    ],
)
def test_exit_statuses(applied: Light, words: tuple[str, ...], status: int, said: str) -> None:
    done = applied.checkout.mlab(*words)
    assert done.status == status and said in done.err, done.out + done.err
    assert applied.record("sandbox", HOST)["Owner"]["owner"] == "mlab"
