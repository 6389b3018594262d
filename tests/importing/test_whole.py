"""An inventory comes in whole: every site, every field, every name; what our rules would not have is kept and said."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path

import pytest

from reconcilers.fleet import published, rules
from reconcilers.fleet.model import Silence
from reconcilers.load import fleet as loading
from tests.importing import siteinfo
from tests.importing.command import Imported, bring, content, mlab

BROKEN = {
    ("atl02", "S12"),
    ("dfw02", "S16"),
    ("geg01", "S10"),
    ("geg01", "S15"),
    ("iad01", "S10"),
    ("lhr01", "S16"),
    ("lhr03", "S03"),
    ("nuq01", "S05"),
    ("sfo01", "S05"),
}
"""The rules that the data breaks, by site."""
BROKEN = {(site, code) for site, code in BROKEN if code in {rule.code for rule in rules.ALL}}


def test_every_site_is_there_in_the_state_that_the_lists_say(imported: Imported) -> None:
    fleet = loading.load(imported.root).require()
    states = {name: site.lifecycle.state for name, site in fleet.sites.items()}
    assert states == {name: site.state for name, site in siteinfo.SITES.items()}
    assert imported.said["states"] == {
        "active": {
            "sites": 17,
            "types": {"physical": 12, "virtual": 5},
            "machines": 49,
            "projects": {"mlab-oti": 32, "mlab-staging": 10, "mlab-sandbox": 7},
        },
        "retired": {
            "sites": 5,
            "types": {"physical": 4, "virtual": 1},
            "machines": 17,
            "projects": {"mlab-oti": 13, "mlab-staging": 4},
        },
        "unlisted": {"sites": 1, "types": {"virtual": 1}, "machines": 1, "projects": {"mlab-oti": 1}},
    }


def test_every_value_has_its_counterpart(imported: Imported) -> None:
    fields = imported.said["fields"]
    assert [field for field in fields if field["kept"] != field["values"]] == []
    assert [field["theirs"] for field in fields if not field["ours"]] == []
    assert {field["theirs"] for field in fields} >= {"annotations.donated", "machines.*.disk", "switch.uplink_port"}
    assert imported.said["no_counterpart"] == []


def test_every_name_and_address_is_the_inventorys_own(imported: Imported) -> None:
    assert imported.said["hosts"]["compared"] > 200
    assert imported.said["hosts"]["differing"] == []
    assert imported.said["domain"] == "measurement-lab.example"


def test_the_result_is_valid_formatted_and_renders(imported: Imported, tmp_path: Path) -> None:
    root = ("--root", imported.root)
    assert mlab("validate", *root).status == 0
    assert mlab("fmt", "--check", *root).out == ""
    rendered = mlab("render", *root, "--state", tmp_path, "--target", "epoxy", "--json")
    assert rendered.status == 0, rendered.err
    hosts = {json.loads(line)["id"] for line in rendered.out.splitlines()}
    assert len(hosts) == 49, "one boot record for each machine that is in use, none for those that are gone"
    assert "Host/mlab4-lga01.mlab-staging.measurement-lab.example" in hosts


def test_each_target_can_be_rendered(imported: Imported, tmp_path: Path) -> None:
    rendered = mlab("render", "--root", imported.root, "--state", tmp_path, "--env", "sandbox")
    assert rendered.status == 0, rendered.err
    for target in ("kubernetes", "buckets", "epoxy", "dns", "monitoring"):
        assert f"  {target} " in rendered.out


def test_what_begins_as_ours_is_below_the_inventorys_domain_and_contacts_nothing(
    imported: Imported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contacts: list[object] = []
    for owner, name in ((socket, "getaddrinfo"), (socket.socket, "connect"), (socket.socket, "connect_ex")):
        monkeypatch.setattr(owner, name, lambda *where, **_more: contacts.append(where))
    environments = loading.load(imported.root).require().environments
    assert {environment.domain for environment in environments.values()} == {"measurement-lab.example"}
    assert {mode for environment in environments.values() for mode in environment.data["modes"].values()} == {"paused"}
    planned = mlab("plan", "--root", imported.root, "--state", tmp_path)
    assert planned.status == 0, planned.err
    assert planned.out.count("left alone: its mode is `paused`") == 15
    assert contacts == []


def test_what_the_data_breaks_is_allowed_with_a_reason_and_nothing_else(imported: Imported) -> None:
    said = {(Path(item["file"]).stem, item["rule"]) for item in imported.said["allowed"]}
    assert said == BROKEN
    sites = loading.load(imported.root).require().sites
    stated = {(name, silence.rule): silence for name, site in sites.items() for silence in site.allow}
    assert stated.keys() == BROKEN
    assert all(_tells(silence) for silence in stated.values())


def _tells(silence: Silence) -> bool:
    return silence.reason.startswith("imported: ") and len(silence.reason) > 30


@pytest.mark.parametrize(("name", "code"), sorted(BROKEN))
def test_without_its_entry_each_file_is_a_problem_of_that_rule(
    name: str, code: str, imported: Imported, tmp_path: Path
) -> None:
    root = tmp_path / "fleet"
    shutil.copytree(imported.root, root)
    path = root / f"config/sites/{name}.yaml"
    lines = [line for line in path.read_text().splitlines() if f"{{rule: {code}," not in line]
    if not any("{rule:" in line for line in lines):
        lines.remove("allow:")
    path.write_text("\n".join([*lines, ""]))
    problems = loading.load(root).problems
    assert {(problem.span.file, problem.code) for problem in problems} == {(f"config/sites/{name}.yaml", code)}


def test_values_stand_as_they_were(imported: Imported) -> None:
    assert "provider: '\"Example Networks LLC'" in imported.site("geg01")
    assert "provider: Example Networks (India) Ltd." in imported.site("del01")
    assert 'country: "NO"' in imported.site("osl01")
    assert "latitude: 60.1939" in imported.site("osl01")
    assert "probability: 0.25" in imported.site("osl01")
    assert 'prefix: "2001:db8:775::/48"' in imported.site("trn01")
    assert "ipv6: null" in imported.site("del01")
    assert 'auto_negotiation: "no"' in imported.site("lga0t")
    assert "uplink_port: ge-0/0/46" in imported.site("lga0t")
    assert "uplink_port" not in imported.site("lga01"), "it follows from the uplink"
    assert "project" not in imported.site("lga0t"), "it follows from the name"
    assert "mlab4: {model: r630, project: mlab-sandbox}" in imported.site("geg01")
    assert 'continent: ""' in imported.site("ath01")
    assert "provider: equinix" in imported.site("osl02")
    assert "state: unlisted" in imported.site("lhr04") and "retired: 2024-02-07" in imported.site("lhr04")


def test_what_is_not_known_of_a_machine_is_null_and_not_our_default(imported: Imported) -> None:
    assert "model: null\n    disk: null\n    iface: null\n" in imported.site("lhr01")
    assert "disk: null" in imported.site("dfw02") and "iface" not in imported.site("dfw02")


def test_a_prefix_that_came_back_names_the_site_that_had_it(imported: Imported) -> None:
    assert "reuses: [lga02]" in imported.site("lga03")
    assert "reuses: [lhr02]" in imported.site("lhr03")
    assert sum("reuses" in imported.site(name) for name in siteinfo.SITES) == 2


def test_importing_again_changes_no_byte(imported: Imported, inventory: Path, tmp_path: Path) -> None:
    root = tmp_path / "fleet"
    shutil.copytree(imported.root, root)
    before = content(root)
    again = bring(inventory, into=root)
    assert content(root) == before
    assert again.said["files"] == {
        "begun": {},
        "reserved": [],
        "created": [],
        "updated": [],
        "replaced": [],
        "unchanged": len(siteinfo.SITES),
        "gone": [],
        "others": [],
    }
    assert again.said["allowed"] == imported.said["allowed"]


def test_an_unlisted_site_is_published_nowhere(imported: Imported) -> None:
    fleet = loading.load(imported.root).require()
    files = [file for made in published.sets(fleet, fleet.environments["production"]) for file in made.files]
    assert [any(name in file.data for file in files) for name in (b"lga01", b"lga02", b"lhr04")] == [True, True, False]


def test_the_summary_tells_a_person_what_came_and_what_to_look_at(inventory: Path, tmp_path: Path) -> None:
    done = mlab("import", "siteinfo", inventory, "--into", tmp_path)
    lines = done.out.splitlines()
    assert lines[1] == (
        "active     17 sites, 12 physical and 5 virtual; 49 machines (32 mlab-oti, 10 mlab-staging, 7 mlab-sandbox)"
    )
    assert lines[3] == "unlisted     1 site, 0 physical and 1 virtual; 1 machine (1 mlab-oti): lhr04"
    assert "885 kept, 0 written in another way, 0 without counterpart" in done.out
    assert f"allowed  {len(BROKEN)} times the data breaks a rule" in done.out
    assert "S16 mlab1 of lhr01 has no model, disk and iface; write what the machine has" in done.out
    assert "sites    23 created, 0 unchanged in " in done.out
    assert lines[-1] == f"valid    `mlab validate --root {tmp_path}` passes"


def test_an_inventory_of_the_public_platforms_size_comes_in_without_a_rule_broken(tmp_path: Path) -> None:
    many = bring(siteinfo.write(tmp_path / "inventory", siteinfo.many()), into=tmp_path / "fleet")
    states = many.said["states"]
    assert [states[state]["sites"] for state in ("active", "retired", "unlisted")] == [164, 186, 1]
    assert states["active"]["types"] == {"physical": 117, "virtual": 47}
    assert many.said["allowed"] == [] and many.said["no_counterpart"] == [] and many.said["hosts"]["differing"] == []
    assert len(list((tmp_path / "fleet/config/sites").iterdir())) == 351
