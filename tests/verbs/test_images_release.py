"""A release from its folder to the bucket: pinned for this checkout or in git, uploaded by `mlab apply`, once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from node.boot import actions
from node.images import manifest
from reconcilers.cli import arguments, images_release
from reconcilers.cli.bugs import Bugs
from reconcilers.load import overlay
from tests.fleets import CHECKOUT
from tests.light import GROUP, Light

pytestmark = GROUP

BUCKET = "epoxy-mlab-sandbox"
FOLDER = "v2.1.10/stage3_ubuntu"
IMAGES = {name: f"the image {name}\n".encode() * 1000 for name in actions.IMAGES}
DONATED = "lga1t"


@pytest.fixture
def checkout(light: Light) -> Iterator[Light]:
    """The small fleet with its boot bucket, and without a release afterwards."""
    root = light.checkout.root
    shutil.copyfile(CHECKOUT / "config/buckets/epoxy.yaml", root / "config/buckets/epoxy.yaml")
    (root / "config/images/boot.yaml").unlink()
    shutil.copyfile(CHECKOUT / "config/images/stage3_ubuntu.yaml", root / "config/images/stage3_ubuntu.yaml")
    light.checkout.commit("A boot bucket")
    yield light
    (light.checkout.state / overlay.IMAGES).unlink(missing_ok=True)
    for item in light.object("GET", "sandbox", BUCKET, "", params={"versions": "true"}).json().get("items", ()):
        light.object("DELETE", "sandbox", BUCKET, item["name"], params={"generation": item["generation"]})
    light.store("DELETE", "sandbox", f"/storage/v1/b/{BUCKET}")
    light.object("DELETE", "sandbox", "mlab-reconciler-mlab-sandbox", f"_mlab/grants/{BUCKET}")


def release(light: Light, *words: str, images: Any = IMAGES) -> images_release.Place:
    """What `mlab images release` does once its images are built."""
    ca = light.checkout.state / "cluster-ca.crt"
    ca.write_text("-----BEGIN CERTIFICATE-----\nof a test\n-----END CERTIFICATE-----\n")
    command = light.checkout.command("images", "release", "v2.1.10", "--env", "sandbox", "--cluster-ca", str(ca))
    given = arguments.parser().parse_args([*command[1:], *words])
    given.bugs = Bugs(command)
    where = images_release.place(given)
    images_release.write(given, where, images, manifest.private_key(None))
    return where


def in_bucket(light: Light) -> dict[str, dict[str, Any]]:
    listed = light.object("GET", "sandbox", BUCKET, "").json()
    return {item["name"].removeprefix(f"{FOLDER}/"): item for item in listed.get("items", ())}


def test_a_release_that_was_built_here_is_uploaded_once(checkout: Light) -> None:
    where = release(checkout)
    assert where.storage_url == "https://epoxy-boot-api.mlab-sandbox.measurement-lab.test/v1/storage"
    done = checkout.checkout.apply("sandbox", "--target", "buckets")
    assert done.status == 0, done.out + done.err
    found = in_bucket(checkout)
    assert {*actions.IMAGES, "stage2to3.json", "stage3post.json", "manifest.json", "manifest.json.sig"} < found.keys()
    assert found.keys() == {path.name for path in where.folder.iterdir()}
    manifests = [int(found[name]["generation"]) for name in ("manifest.json", "manifest.json.sig")]
    assert min(manifests) > max(int(item["generation"]) for name, item in found.items() if "manifest" not in name)
    again = checkout.checkout.mlab("plan", "--env", "sandbox", "--target", "buckets")
    assert again.status == 0 and "0 to create, 0 to update" in again.out, again.out
    # Nothing of it is seen by git.
    assert checkout.checkout.git("status", "--porcelain") == ""


def test_a_release_that_is_built_anew_is_a_change_that_says_what_it_means(checkout: Light) -> None:
    release(checkout)
    assert checkout.checkout.apply("sandbox", "--target", "buckets").status == 0
    release(checkout, images={**IMAGES, actions.LARGE_KERNEL: b"another kernel"})
    planned = checkout.checkout.mlab("plan", "--env", "sandbox", "--target", "buckets", "--json")
    changes = [change for scope in json.loads(planned.out)["scopes"] for change in scope["changes"]]
    assert {change["id"].rpartition("/")[2] for change in changes} == {
        actions.LARGE_KERNEL,
        "stage2to3.json",
        "manifest.json",
        "manifest.json.sig",
    }
    assert {change["risk"] for change in changes} == {"disruptive"}
    shutil.rmtree(checkout.checkout.state / "images")
    refused = checkout.checkout.mlab("plan", "--env", "sandbox", "--target", "buckets")
    assert "its content is not on this machine: run `mlab images release`" in refused.out, refused.out


def test_the_pins_that_are_printed_are_a_valid_file_and_what_is_then_uploaded(checkout: Light) -> None:
    where = release(checkout, "--pins")
    assert not (checkout.checkout.state / overlay.IMAGES).exists()
    printed = images_release.pins("v2.1.10", where)
    path = checkout.checkout.root / "config/images/stage3_ubuntu.yaml"
    assert printed.splitlines()[0] == "# config/images/stage3_ubuntu.yaml"
    path.write_text(path.read_text().partition("releases:")[0] + printed.partition("\n")[2] + "\n")
    pinned = yaml.safe_load(printed)["releases"]["v2.1.10"]
    assert set(pinned["files"]) == set(actions.IMAGES)
    checkout.checkout.commit("Release v2.1.10")
    validated = checkout.checkout.mlab("validate")
    assert validated.status == 0, validated.err
    planned = checkout.checkout.mlab("plan", "--env", "sandbox", "--target", "buckets")
    assert planned.status == 3 and "set targets.buckets.images" in planned.out, planned.out
    environment = checkout.checkout.root / "config/environments/sandbox.yaml"
    text = environment.read_text()
    folder = where.folder.parents[1]
    environment.write_text(text.replace("anonymous: false,", f"anonymous: false, images: {folder},"))
    checkout.checkout.commit("Where releases lie on the machine that applies")
    done = checkout.checkout.apply("sandbox", "--target", "buckets")
    assert done.status == 0, done.out + done.err
    assert in_bucket(checkout).keys() == {path.name for path in where.folder.iterdir()}


def test_the_document_lists_the_donated_sites_of_the_fleet(checkout: Light) -> None:
    where = release(checkout)
    donated = sorted(
        path.stem
        for path in (checkout.checkout.root / "config/sites").glob("*.yaml")
        if yaml.safe_load(path.read_text()).get("donated")
    )
    document = (where.folder / "stage3post.json").read_text()
    assert donated and all(site in document for site in donated)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("release", "v2.1.10", "--env", "nowhere", "--cluster-ca", "/dev/null"), "no such environment"),
        (("release", "v2.1.10", "--env", "sandbox"), "--cluster-ca is needed: no platform of sandbox runs here"),
        (("release", "v2.1.10", "--pins"), "--pins is of one environment"),
        (("release", "v2.1.10", "--storage-url", "https://x"), "--out is needed, or --env"),
        (("release", "v2.1.10", "--env", "sandbox", "--cluster-ca", "/nonexistent"), "/nonexistent: No such file"),
    ],
)
def test_what_is_missing_is_one_line(checkout: Light, words: tuple[str, ...], said: str) -> None:
    done = checkout.checkout.mlab("images", *words)
    assert done.status == 1 and said in done.err.splitlines()[-1], done.err


def test_a_pin_that_cannot_be_read_is_one_line(checkout: Light, tmp_path: Path) -> None:
    (checkout.checkout.state / overlay.IMAGES).write_text("{")
    done = checkout.checkout.mlab("plan", "--env", "sandbox", "--target", "buckets")
    assert done.status == 1 and "images.json: cannot be read" in done.err and "remove it" in done.err
    pins = {"environments": {"sandbox": {"images": {"v2.1.10": {"stage3_ubuntu": {"manifest.json": "sha256:0"}}}}}}
    (checkout.checkout.state / overlay.IMAGES).write_text(json.dumps(pins))
    done = checkout.checkout.mlab("plan", "--env", "sandbox", "--target", "buckets")
    assert done.status == 5 and "the overlay of sandbox" in done.out, done.out
