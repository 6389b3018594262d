"""Every committed file is valid by its own schema, which its first line names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from reconcilers.load import fleet
from services.local import programs
from tests.config.configuration import FILES, ROOT, committed, schema, validator, value

FIRST_LINE = re.compile(r"# yaml-language-server: \$schema=(\.\./\.\./schemas/[a-z-]+\.schema\.json)\n")
DIGEST_OR_VERSION = re.compile(r"\b(latest|master|main)\b")


@pytest.mark.parametrize("folder", sorted({path.parent.name for path in FILES}))
def test_every_file_is_valid_by_the_schema_that_its_first_line_names(folder: str) -> None:
    for path in (ROOT / "config" / folder).glob("*.yaml"):
        first = FIRST_LINE.match(path.read_text())
        assert first, f"{path}: the first line names no schema"
        named = (path.parent / first[1]).resolve()
        problems = [
            f"{path.name} {list(e.instance_path)}: {e.message}" for e in validator(named).iter_errors(value(path))
        ]
        assert not problems, "\n".join(problems)
        assert schema(named)["properties"]["kind"]["const"] == value(path)["kind"]


def test_the_committed_configuration_has_no_problem() -> None:
    assert [problem.line() for problem in fleet.validate(ROOT)] == []


def test_no_file_uses_an_anchor_or_an_alias() -> None:
    marks = re.compile(r"(?:^|[\s\[{,:-])[&*][A-Za-z]", re.MULTILINE)
    for path in FILES:
        quoted = re.sub(r"\"[^\"\n]*\"|'[^'\n]*'", "", path.read_text())
        plain = "\n".join(line for line in quoted.splitlines() if not line.lstrip().startswith("#"))
        if path.parent.name != "alerts":  # PromQL multiplies by names
            assert not marks.search(plain), path


def test_no_image_has_a_moving_tag() -> None:
    for experiment in committed().experiments.values():
        for image in _images(experiment.data):
            assert not DIGEST_OR_VERSION.fullmatch(image), f"{experiment.name}: {image}"
    for pinned in committed().images.values():
        for image in _images(pinned.data):
            assert not DIGEST_OR_VERSION.fullmatch(image), f"{pinned.name}: {image}"


def _images(data: object) -> list[str]:
    if isinstance(data, dict):
        own = [data["version"]] if "version" in data and "name" in data else []
        return own + [image for inner in data.values() for image in _images(inner)]
    return [image for inner in data for image in _images(inner)] if isinstance(data, list) else []


def test_every_environment_boots_a_release_that_every_boot_image_has() -> None:
    stages = [image for image in committed().images.values() if image.data["type"] == "boot"]
    assert {stage.name for stage in stages} == {"stage3_ubuntu", "stage3_update"}
    for environment in committed().environments.values():
        for stage in stages:
            assert environment.data["images_version"] in stage.data["releases"], (environment.name, stage.name)


@pytest.mark.parametrize(
    ("built", "digest", "valid"),
    [
        (None, None, True),
        ("2026-06-30", "sha256:" + "a" * 64, True),
        (None, "sha256:" + "a" * 64, False),
        ("2026-06-30", None, False),
    ],
)
def test_a_boot_file_has_a_digest_exactly_if_its_release_is_built(
    built: str | None, digest: str | None, valid: bool
) -> None:
    image = value(ROOT / "config" / "images" / "stage3_ubuntu.yaml")
    release = {"built": built, "files": {"stage1_kernel.vmlinuz": digest}}
    checker = validator(ROOT / "schemas" / "image.schema.json")
    assert checker.is_valid({**image, "releases": {"v2.1.10": release}}) is valid


def test_a_release_of_an_environment_has_its_signed_manifest() -> None:
    image = value(ROOT / "config" / "images" / "stage3_ubuntu.yaml")
    digest = "sha256:" + "a" * 64
    checker = validator(ROOT / "schemas" / "image.schema.json")

    def valid(environments: object, built: str | None = "2026-06-30") -> bool:
        files = {"stage1_kernel.vmlinuz": digest if built else None}
        release = {"built": built, "files": files, "environments": environments}
        return bool(checker.is_valid({**image, "releases": {"v2.1.10": release}}))

    pins = {"manifest.json": digest, "manifest.json.sig": digest}
    assert valid({"sandbox": pins})
    assert not valid({"sandbox": pins}, built=None), "what was not built has no digests"
    assert not valid({}) and not valid({"sandbox": {}}), "a release without files"
    assert not valid({"sandbox": {"manifest.json": digest}}), "without its signature"
    assert not valid({"sandbox": {**pins, "stage2to3.json": "sha256:" + "A" * 64}}), "no lower-case hexadecimal digest"
    assert not valid({"sandbox": {**pins, "../x": digest}}) and not valid({"elsewhere": pins})


def test_the_cluster_and_the_images_have_the_versions_that_are_built() -> None:
    components = committed().images["components"].data["components"]
    modules = ROOT / "services" / "local" / "modules"
    assert components["kubernetes"] == {"cluster": programs.KUBERNETES, "image": programs.KUBERNETES}
    for name, module, package in (
        ("kubernetes", "kubernetes", "k8s.io/kubernetes"),
        ("etcdctl", "etcd", "go.etcd.io/etcd/server/v3"),
    ):
        pinned = re.findall(rf"{re.escape(package)} (v\S+)", (modules / module / "go.mod").read_text())
        assert set(pinned) == {components[name]["cluster"]}, name


def test_components_of_cluster_and_boot_image_differ_by_one_minor_version_at_most() -> None:
    for name, versions in committed().images["components"].data["components"].items():
        cluster, image = (
            [int(number) for number in re.findall(r"\d+", versions[side])[:2]] for side in ("cluster", "image")
        )
        assert cluster[0] == image[0] and 0 <= cluster[1] - image[1] <= 1, name


def test_each_environment_keeps_its_records_in_a_bucket_of_its_own() -> None:
    names = {bucket.name for bucket in committed().buckets.values()}
    for environment in committed().environments.values():
        records = environment.data["targets"]["buckets"]["records"]
        assert records.replace(environment.project, "{project}") in names


def test_private_buckets_can_never_become_public() -> None:
    for name in ("pusher-{project}", "embargo-{project}", "mlab-reconciler-{project}", "audit-{project}"):
        assert committed().buckets[name].data["publicAccessPrevention"] == "enforced"


@pytest.mark.parametrize(
    "changes",
    [
        {"publicAccessPrevention": "inherited"},
        {"iam": [{"role": "roles/storage.objectViewer", "members": ["allUsers"]}]},
        {"iam": [{"role": "roles/storage.objectViewer", "members": ["user:a@b.test", "allAuthenticatedUsers"]}]},
    ],
)
def test_private_data_cannot_be_declared_public(changes: dict[str, object]) -> None:
    private = value(ROOT / "config" / "buckets" / "embargo.yaml")
    checker = validator(ROOT / "schemas" / "bucket.schema.json")
    assert checker.is_valid(private) and not checker.is_valid({**private, **changes})


def test_datatypes_of_experiments_exist_and_autoloaded_ones_have_columns() -> None:
    datatypes = committed().datatypes
    for experiment in committed().experiments.values():
        for name in (*experiment.archived, *experiment.autoloaded):
            assert name in datatypes, f"{experiment.name}: {name}"
        for name in experiment.autoloaded:
            assert datatypes[name].data.get("schema"), f"{experiment.name}: {name} has no columns"


def test_every_advertised_port_is_open_and_on_a_container() -> None:
    for experiment in committed().experiments.values():
        if not experiment.data.get("firewall"):
            continue
        opened = experiment.data["firewall"]["tcp"]
        for urls in experiment.data.get("services", {}).values():
            for url in urls:
                port = int(explicit[1]) if (explicit := re.match(r"[a-z]+://:(\d+)/", url)) else None
                port = port or (443 if url.startswith(("wss", "https")) else 80)
                assert any(_covers(entry, port) for entry in opened), f"{experiment.name}: {port} is closed"


def _covers(entry: int | str, port: int) -> bool:
    first, _, last = str(entry).partition("-")
    return int(first) <= port <= int(last or first)


def test_a_file_holds_one_object_named_after_it() -> None:
    for path in FILES:
        name = value(path)["name"]
        assert Path(path).stem in (name, name.replace("-{project}", "")), path
