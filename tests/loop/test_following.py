"""What a loop does with its branch: serve what is good, hold what is not, and go on with the last good commit."""

from __future__ import annotations

import hashlib
import hmac
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from tests import fleets
from tests.e2e.checkout import Checkout
from tests.loop import edits
from tests.loop.process import Running

pytestmark = pytest.mark.xdist_group("loop")
Start = Callable[..., Running]


def test_what_is_merged_is_applied_and_recorded(light: Checkout, loop: Start) -> None:
    running = loop()
    first = edits.head(light)
    running.until(lambda: running.settled(first))
    assert running.get("/readyz").status_code == running.get("/healthz").status_code == 200
    second = edits.release(light, "v2.1.11")
    running.until(lambda: running.settled(second))
    assert edits.Registry(light).release() == "v2.1.11"
    assert running.metric("mlab_reconcile_commit_info", kind="applied", commit=second) == 2
    assert running.metric("mlab_reconcile_changes_total", scope="epoxy", outcome="applied") >= 1
    assert running.metric("mlab_reconcile_api_requests_total", provider="epoxy", code="200") >= 1
    assert running.metric("mlab_reconcile_last_success_timestamp_seconds", scope="epoxy") > 0
    running.until(lambda: running.metric("mlab_reconcile_commit_lag_seconds") == 0)
    status, planned = light.plan("sandbox", "--target", "epoxy", "--target", "buckets")
    assert status == 0, planned["counts"]
    assert planned["base"] == second
    assert not list((running.state / "audit").glob("*")), "the audit lines are in the records bucket"
    assert running.stop() == 0


def test_a_bad_commit_is_not_served_and_the_last_good_one_still_heals(light: Checkout, loop: Start) -> None:
    running = loop()
    good = edits.head(light)
    running.until(lambda: running.settled(good))
    fleets.edit(light.root, "config/sites/lga05.yaml", "198.18.0.0/26", "198.18.0.0/33")
    light.commit("Break a prefix")
    running.until(lambda: running.metric("mlab_reconcile_serving_last_good", reason="invalid") == 1)
    status = running.status()
    assert status["serving"] == good
    assert "config/sites/lga05.yaml:" in status["refused"]
    edits.Registry(light).delete()
    running.until(lambda: edits.Registry(light).host().status_code == 200)
    fleets.edit(light.root, "config/sites/lga05.yaml", "198.18.0.0/33", "198.18.0.0/26")
    mended = light.commit("Mend it")
    running.until(lambda: running.status()["serving"].startswith(mended))
    assert running.metric("mlab_reconcile_serving_last_good") == 0


def test_a_commit_that_takes_more_than_its_child_may_is_refused_and_the_loop_lives(
    light: Checkout, loop: Start
) -> None:
    running = loop("--render-memory-mib", "300")
    good = edits.head(light)
    running.until(lambda: running.settled(good))
    path = light.root / "jsonnet" / "kubernetes" / "platform.jsonnet"
    if not path.exists():
        shutil.copytree(fleets.CHECKOUT / "jsonnet", light.root / "jsonnet")
    path.write_text("local grow(s) = grow(s + s); function(document) [grow('xxxxxxxxxxxxxxxx')]\n")
    light.commit("Eat all memory")
    running.until(lambda: running.metric("mlab_reconcile_serving_last_good", reason="invalid") == 1)
    assert running.status()["serving"] == good
    assert running.get("/healthz").status_code == 200


def test_a_git_host_out_of_reach_is_reported_and_drift_is_still_healed_even_after_a_restart(
    light: Checkout, loop: Start
) -> None:
    running = loop()
    good = edits.head(light)
    running.until(lambda: running.settled(good))
    away = light.root.with_name("away")
    light.root.rename(away)
    try:
        running.until(lambda: running.metric("mlab_reconcile_serving_last_good", reason="unreachable") == 1)
        edits.Registry(light).delete()
        running.until(lambda: edits.Registry(light).host().status_code == 200)
        assert running.stop() == 0
        away.rename(light.root)  # the command line wants its root; the loop's origin goes away again at once
        hidden = light.root / ".git-away"
        (light.root / ".git").rename(hidden)
        try:
            running.start()
            running.until(lambda: running.settled(good))
            assert running.metric("mlab_reconcile_serving_last_good", reason="unreachable") == 1
        finally:
            hidden.rename(light.root / ".git")
    finally:
        if away.exists():
            away.rename(light.root)
    running.until(lambda: running.metric("mlab_reconcile_serving_last_good") == 0)


def test_a_rewritten_branch_is_not_followed_unless_the_loop_was_told_to(light: Checkout, loop: Start) -> None:
    running = loop()
    base = edits.head(light)
    served = edits.release(light, "v2.1.11")
    running.until(lambda: running.settled(served))
    light.git("reset", "-q", "--hard", base)
    rewritten = edits.release(light, "v2.1.12")
    running.until(lambda: running.metric("mlab_reconcile_serving_last_good", reason="refused") == 1)
    assert running.status()["serving"] == served
    assert "was rewritten" in running.status()["refused"]
    assert edits.Registry(light).release() == "v2.1.11"
    running.stop()
    running.words = (*running.words, "--follow-rewrites")
    running.start()
    running.until(lambda: running.settled(rewritten))


def test_an_unsigned_commit_is_not_served_where_signatures_are_asked_for(
    light: Checkout, loop: Start, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    signers = tmp_path / "signers"
    signers.write_text(f"test@measurement-lab.test {key.with_suffix('.pub').read_text()}")
    sign = ("-c", "gpg.format=ssh", "-c", f"user.signingkey={key}")
    light.git(*sign, "commit", "-q", "-S", "--allow-empty", "-m", "Signed")
    signed = edits.head(light)
    running = loop("--signers", str(signers))
    running.until(lambda: running.settled(signed))
    edits.release(light, "v2.1.11")
    running.until(lambda: running.metric("mlab_reconcile_serving_last_good", reason="refused") == 1)
    assert "no signature" in running.status()["refused"]
    assert running.status()["serving"] == signed


def test_a_hook_with_the_right_signature_fetches_at_once(light: Checkout, loop: Start) -> None:
    running = loop("--git-interval", "3600", "--hook-secret", "env:HOOK_SECRET", HOOK_SECRET="secret-of-this-hook")
    first = edits.head(light)
    running.until(lambda: running.settled(first))
    second = edits.release(light, "v2.1.11")
    body = b'{"ref": "refs/heads/main"}'

    def post(secret: bytes) -> int:
        signature = "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()
        url = f"http://{running.address}/hook"
        return requests.post(url, data=body, headers={"X-Hub-Signature-256": signature}, timeout=60).status_code

    assert post(b"another secret") == 401
    assert running.status()["serving"] == first
    assert post(b"secret-of-this-hook") == 202
    running.until(lambda: running.settled(second))
    assert "secret-of-this-hook" not in running.log.read_text()


def test_without_a_secret_there_is_no_hook(loop: Start) -> None:
    running = loop()
    assert requests.post(f"http://{running.address}/hook", data=b"{}", timeout=60).status_code == 404


def test_a_loop_that_follows_what_was_applied_leaves_new_commits_to_people(light: Checkout, loop: Start) -> None:
    fleets.edit(light.root, "config/environments/sandbox.yaml", "modes:", "loop: {follows: applied}\nmodes:")
    light.commit("Follow what was applied")
    done = light.apply("sandbox", "--target", "epoxy", "--target", "buckets")
    assert done.status == 0, done.out + done.err
    applied = edits.head(light)
    running = loop()
    running.until(lambda: running.settled(applied))
    merged = edits.release(light, "v2.1.11")
    running.until(lambda: running.status()["serving"] == merged)
    edits.Registry(light).delete()
    running.until(lambda: edits.Registry(light).host().status_code == 200)
    assert edits.Registry(light).release() == "v2.1.10"
    assert running.scope("epoxy")["applied"] == applied
    running.until(lambda: running.metric("mlab_reconcile_commit_lag_seconds") > 0)


def test_an_address_with_a_password_is_refused(light: Checkout, tmp_path: Path) -> None:
    done = light.mlab(
        "run", "--env", "sandbox", "--repository", "https://bot:" + "hidden@127.0.0.1/fleet", "--listen", "127.0.0.1:0"
    )
    assert done.status == 1
    assert "holds a password" in done.err
    assert "hidden" not in done.err
    assert os.environ.get("HOOK_SECRET") is None
