"""Checkouts that are faulty, or that say more than we have a place for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.importing import siteinfo
from tests.importing.command import bring, mlab

FEW = {name: siteinfo.SITES[name] for name in ("lga01", "lga02", "dfw01", "nuq01")}


def edit(file: str, old: str, new: str) -> Callable[[Path], None]:
    def do(root: Path) -> None:
        text = (root / file).read_text()
        assert old in text, text
        (root / file).write_text(text.replace(old, new))

    return do


def remove(file: str) -> Callable[[Path], None]:
    return lambda root: (root / file).unlink()


def both(*steps: Callable[[Path], None]) -> Callable[[Path], None]:
    def do(root: Path) -> None:
        for step in steps:
            step(root)

    return do


def write(file: str, text: str) -> Callable[[Path], None]:
    def there(root: Path) -> None:
        (root / file).write_text(text)

    return there


LGA01, DFW01 = "sites/lga01.jsonnet", "sites/dfw01.jsonnet"
DEFAULT = "sites/_default.jsonnet"
FAULTS = [
    (edit(LGA01, "network+: {", "network+: "), ["inventory/sites/lga01.jsonnet"]),
    (edit(LGA01, "asn: 'AS64500', ", ""), ["transit.asn is not set"]),
    (edit(LGA01, "uplink: '10g'", "uplink: '100g'"), ["100g"]),
    (edit(LGA01, DEFAULT, "sites/_defalt.jsonnet"), ["sites/_defalt.jsonnet is no file"]),
    (edit(LGA01, DEFAULT, "/etc/hostname"), ["/etc/hostname is no file"]),
    (edit(LGA01, "name: 'lga01'", "name: 'lga09'"), [f"{LGA01}:1:1: I01 import.source: names itself 'lga09'"]),
    (write(LGA01, "[]"), [LGA01]),
    (write(LGA01, "'é"), [LGA01]),
    (remove(LGA01), [f"{LGA01} is no file"]),
    (
        edit("sites.jsonnet", "[\n", f"[\n  (import '{DFW01}') {{ name: 'dfw07' }},\n"),
        ["sites.jsonnet:1:1: I01 import.source: dfw07 is listed, but there is no sites/dfw07.jsonnet"],
    ),
    (
        edit("retired.jsonnet", "[\n", f"[\n  (import '{DFW01}'),\n"),
        ["retired.jsonnet:1:1: I01 import.source: dfw01 is in sites.jsonnet and in retired.jsonnet"],
    ),
    (write("sites.jsonnet", "[]"), ["no site is active"]),
    (write("sites.jsonnet", "{"), ["inventory/sites.jsonnet"]),
    (
        edit("sites/lga02.jsonnet", '"retired": "2019-02-01"', '"retired": null'),
        ["sites/lga02.jsonnet:1:1: C03", "must be text"],
    ),
    (edit(DFW01, "mlab1:", "mlab7:"), ["mlab7"]),
    (write("experiments.jsonnet", "[{ name: 'ndt', index: 13 }]"), ["'ndt' with index 13 is none"]),
    (write("experiments.jsonnet", "7"), ["experiments:1:1: I01 import.source: there is none"]),
    (
        both(edit(LGA01, "'AS64500'", "'64500'"), edit(DFW01, "'1g'", "'2g'")),
        [f"{LGA01}:1:1: C03 schema.type: `transit.asn`", f"{DFW01}:1:1: C04 schema.value: `transit.uplink`"],
    ),
]


@pytest.mark.parametrize(("breaks", "lines"), FAULTS)
def test_every_fault_of_a_checkout_is_told_in_one_run_and_nothing_is_written(
    breaks: Callable[[Path], None], lines: list[str], tmp_path: Path
) -> None:
    root = siteinfo.write(tmp_path / "inventory", FEW)
    breaks(root)
    done = mlab("import", "siteinfo", root, "--into", tmp_path / "fleet")
    assert done.status == 5, done.out + done.err
    for line in lines:
        assert line in done.out, done.out
    assert done.err.count("\n") == 1 and "nothing was written" in done.err
    assert not (tmp_path / "fleet").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["siteinfo", "{tmp}", "--into", "{tmp}/fleet"], "no sites.jsonnet and no retired.jsonnet and no experiments."),
        (["siteinfo", "{tmp}/nowhere", "--into", "{tmp}/fleet"], "here; name a checkout"),
        (["siteinfo", "--into", "{tmp}/fleet"], "name either a checkout of the inventory or, with --published"),
        (["siteinfo", "{tmp}", "--published", "{tmp}", "--into", "{tmp}/fleet"], "name either a checkout"),
        (["siteinfo", "{tmp}", "--into", "{tmp}/file"], "is no folder"),
    ],
)
def test_a_command_line_that_cannot_be_meant_is_one_line(words: list[str], said: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = mlab("import", *(word.format(tmp=tmp_path) for word in words))
    assert (done.status, done.out) == (1, "")
    assert said in done.err and done.err.count("\n") == 1


def test_a_field_that_we_have_no_place_for_is_listed_with_its_count_and_values(tmp_path: Path) -> None:
    sites = dict(FEW)
    for name in ("lga01", "nuq01"):
        sites[name] = sites[name].but("  name:", "  contact: { mail: 'noc@example.org', phones: ['1', '2'] },\n  name:")
    sites["dfw01"] = sites["dfw01"].but("annotations+: {", "annotations+: { colour: 'green',")
    root = siteinfo.write(tmp_path / "inventory", sites)
    done = mlab("import", "siteinfo", root, "--into", tmp_path / "fleet")
    assert done.status == 0, done.out
    assert "7 without counterpart" in done.out
    assert "no counterpart: annotations.colour, 1 values (dfw01: 'green')" in done.out
    assert "no counterpart: contact.mail, 2 values (lga01: 'noc@example.org')" in done.out
    imported = bring(root, into=tmp_path / "again")
    assert {"site": "nuq01", "path": "contact.phones.1", "value": "2"} in imported.said["no_counterpart"]


def test_resolvers_of_a_family_that_a_site_has_not_are_told_rather_than_lost(tmp_path: Path) -> None:
    site = siteinfo.SITES["del01"]
    sites = {"del01": site.but("ipv6+: { prefix: null }", "ipv6+: { prefix: null, dns1: '2001:db8::53' }")}
    imported = bring(siteinfo.write(tmp_path / "inventory", sites), into=tmp_path / "fleet")
    assert imported.said["no_counterpart"] == [{"site": "del01", "path": "network.ipv6.dns1", "value": "2001:db8::53"}]


def test_an_address_that_is_written_in_another_way_is_counted_as_such(tmp_path: Path) -> None:
    site = siteinfo.SITES["dfw01"]
    sites = {"dfw01": site.but("2001:db8:9:1::/128", "2001:db8:9:1:0:0:0:0/128")}
    imported = bring(siteinfo.write(tmp_path / "inventory", sites), into=tmp_path / "fleet")
    assert '"2001:db8:9:1:0:0:0:0"' in imported.site("dfw01")
    field = next(f for f in imported.said["fields"] if f["theirs"] == "machines.*.network.ipv6.address")
    assert (field["kept"], field["respelled"], field["no_counterpart"]) == (0, 1, 0)


def test_every_setting_of_a_switch_and_of_resolvers_comes_over(tmp_path: Path) -> None:
    sites = {
        "lga01": siteinfo.SITES["lga01"]
        .but("  network+: {", "  network+: { ipv4+: { dns1: '198.51.100.1', dns2: '198.51.100.2' } },\n  network+: {")
        .but("  network+: { ipv4+: { dns1", "  loadbalancer: { roundrobin: false },\n  network+: { ipv4+: { dns1")
    }
    # One object cannot set a field twice, so the second part of `network` is added to the whole.
    head, tail = sites["lga01"].body.rsplit("  network+: {", 1)
    body = f"{head}}} + {{\n  switch+: {{ make: 'example', flow_control: 'yes', rstp: 'no' }},\n  network+: {{{tail}"
    body = body.replace('prefix: "2001:db8:0:1::/64"', "prefix: \"2001:db8:0:1::/64\", gateway: '2001:db8:0:1::ff'")
    sites["lga01"] = siteinfo.SiteFile("lga01", "active", body)
    imported = bring(siteinfo.write(tmp_path / "inventory", sites), into=tmp_path / "fleet")
    assert imported.said["no_counterpart"] == []
    text = imported.site("lga01")
    for line in ("dns1: 198.51.100.1", "dns2: 198.51.100.2", "make: example", 'rstp: "no"', 'flow_control: "yes"'):
        assert line in text
    assert 'gateway: "2001:db8:0:1::ff"' in text and "roundrobin: false" in text
