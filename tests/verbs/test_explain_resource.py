"""`mlab explain RESOURCE`: git's side without asking anybody, the record's, the audit's and the target's when asked."""

from __future__ import annotations

import json
import re

import pytest

from tests.light import GROUP, Light

pytestmark = GROUP
HOST = "mlab1-lga1t.mlab-sandbox.measurement-lab.test"


def test_a_host_is_told_with_its_line_its_author_and_its_last_write(light: Light) -> None:
    head = light.checkout.git("rev-parse", "--short=7", "HEAD").strip()
    # Whoever wrote it last did so in another test; this write is the one that is told.
    gone = light.host("DELETE", "sandbox", HOST, headers={"If-Match": light.etag("sandbox", HOST)})
    assert gone.ok, gone.text
    assert light.checkout.apply("sandbox", "--target", "epoxy").status == 0
    done = light.checkout.mlab("explain", f"epoxy/Host/{HOST}")
    assert done.status == 0, done.err
    assert re.search(r"because of +config/sites/lga1t.yaml:\d+:3\n +mlab1: \{model: r630\}", done.out), done.out
    assert f"{head} by test: The fleet as it stands" in done.out
    assert "ImagesVersion = v2.1.10   images_version at config/environments/sandbox.yaml:6:17" in done.out
    assert f"sandbox/epoxy runs {head} since " in done.out
    assert re.search(rf"this was last written \S+: create of {head} by ", done.out), done.out
    assert re.search(r"live +as git wants it\n +never booted\n", done.out), done.out
    assert "platform.json: targets.epoxy" in done.out


def test_a_host_whose_next_boot_was_ordered_says_so(light: Light) -> None:
    order = {"sequence": "update", "expires_in_s": 60}
    assert light.host("PUT", "sandbox", f"{HOST}/next-boot", json=order).status_code == 200
    try:
        done = light.checkout.mlab("explain", f"epoxy/Host/{HOST}")
        assert re.search(r"live .*\n +never booted; next boot ordered: update, not told yet, until \S+\n", done.out), (
            done.out
        )
    finally:
        assert light.host("DELETE", "sandbox", f"{HOST}/next-boot").status_code == 200


def test_a_changed_thing_shows_how_the_target_differs(light: Light) -> None:
    path = light.checkout.root / "config/environments/sandbox.yaml"
    path.write_text(path.read_text().replace("v2.1.10", "v2.1.9"))
    done = light.checkout.mlab("explain", f"sandbox/epoxy/Host/{HOST}")
    assert "not committed yet" not in done.out.split("environment")[0]
    assert re.search(r"live +~ Host/.*\n.*never booted\n.*ImagesVersion  v2.1.10 -> v2.1.9", done.out), done.out


def test_a_bucket_is_told_with_its_siblings_and_with_what_needs_it(applied: Light) -> None:
    done = applied.checkout.mlab("explain", "sandbox/buckets/Bucket/siteinfo-mlab-sandbox", "--json")
    (story,) = json.loads(done.out)
    assert story["resource"] == "sandbox/buckets/Bucket/siteinfo-mlab-sandbox"
    assert "BucketIam/siteinfo-mlab-sandbox" in story["needed by"]
    assert story["because of"][0] == "config/buckets/siteinfo.yaml:2:1"


def test_environments_are_compared(applied: Light) -> None:
    done = applied.checkout.mlab("explain", "epoxy/Host/mlab4-lga05*", "--offline")
    assert done.out.count("staging/epoxy/Host/mlab4-lga05") == 1 and "elsewhere" not in done.out


def test_offline_asks_nobody(applied: Light) -> None:
    done = applied.checkout.mlab("explain", f"epoxy/Host/{HOST}", "--offline")
    assert done.status == 0 and "applied" not in done.out and " live " not in done.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("epoxy/Host/nobody",), "git wants no such resource"),
        (("buckets/Object/*",), "name fewer than 13"),
        ((f"epoxy/Host/{HOST}", "--env", "moon"), "no such environment"),
    ],
)
def test_what_cannot_be_told_is_refused_in_one_line(applied: Light, words: tuple[str, ...], said: str) -> None:
    done = applied.checkout.mlab("explain", *words)
    assert done.status == 1 and said in done.err, done.out + done.err
