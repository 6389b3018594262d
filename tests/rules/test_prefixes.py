"""The rules of prefixes, slots and gateways pass, fail, and stand exactly at their limit."""

from __future__ import annotations

import dataclasses
from ipaddress import IPv4Network, IPv6Address, IPv6Network
from typing import Any

import pytest

from reconcilers.fleet import addresses, rules
from reconcilers.fleet.derive import under
from reconcilers.fleet.model import Silence, Site, Switch
from reconcilers.fleet.past import Times
from reconcilers.fleet.rules import prefixes
from tests import fleet_values as values
from tests.rules.subjects import TODAY, aged, experiment, fleet, problems

# S02


def test_prefixes_that_touch_do_not_overlap() -> None:
    a = values.physical("lga05", "198.18.0.0/26", "2001:db8:0:1::/64")
    b = values.physical("lga06", "198.18.0.64/26", "2001:db8:0:2::/64")
    assert problems("S02", fleet(a, b)) == []


@pytest.mark.parametrize("prefix", ["198.18.0.0/26", "198.18.0.0/28", "198.18.0.48/28", "198.18.0.56/29"])
def test_a_prefix_inside_another_overlaps_it_and_is_told_once(prefix: str) -> None:
    a = values.physical("lga05", "198.18.0.0/26", None)
    b = aged(values.physical("lga06", prefix, None, machines=("mlab1",), switch=None), "2031-01-01")
    assert problems("S02", fleet(a, b)) == [f"{prefix} overlaps lga05 (198.18.0.0/26); give one of them another prefix"]


def test_three_sites_with_one_prefix_are_three_pairs() -> None:
    sites = [values.physical(name, "198.18.0.0/26", None) for name in ("lga01", "lga02", "lga03")]
    assert len(problems("S02", fleet(*sites))) == 3


@pytest.mark.parametrize(
    ("state", "count"), [("active", 1), ("planned", 1), ("lame-duck", 1), ("retired", 0), ("unlisted", 0)]
)
def test_only_sites_that_hold_addresses_count(state: Any, count: int) -> None:
    other = values.physical("lga06", "198.18.0.0/26", None, state=state)
    assert len(problems("S02", fleet(values.physical("lga05", "198.18.0.0/26", None), other))) == count


def test_a_virtual_machine_in_somebodys_prefix_is_an_overlap() -> None:
    machine = values.virtual("chs01", {"mlab1": ("198.18.0.63", None)})
    outside = values.virtual("chs02", {"mlab1": ("198.18.0.64", None)})
    site = values.physical("lga05", "198.18.0.0/26", None)
    assert len(problems("S02", fleet(site, machine))) == 1
    assert problems("S02", fleet(site, outside)) == []


def test_the_newer_site_is_blamed_and_free_prefixes_near_it_are_offered() -> None:
    old = aged(values.physical("zzz05", "198.18.0.0/26", None), "2019-01-01")
    new = aged(values.physical("aaa06", "198.18.0.0/26", None), "2024-01-01")
    found = [problem for problem in rules.check_across(fleet(old, new)) if problem.code == "S02"]
    assert [problem.span.file for problem in found] == ["config/sites/aaa06.yaml"]
    assert found[0].related[0][0].file == "config/sites/zzz05.yaml"
    assert found[0].hint == "free near it: 198.18.0.64/26, 198.18.0.128/26, 198.18.0.192/26"


def test_free_prefixes_are_free() -> None:
    sites = [values.physical(f"lga{n:02}", f"198.18.{n}.64/26", f"2001:db8:{n:x}::/64") for n in range(20)]
    subject = fleet(*sites)
    lines = list(prefixes.OVERLAP.remedy(subject, Times(TODAY)))
    free = [IPv4Network(text) for text in lines[0].split(": ")[1].split(", ")]
    assert len(free) == 3
    assert not any(net.overlaps(site.network.ipv4) for net in free for site in sites if site.network)
    free6 = [IPv6Network(text) for text in lines[1].split(": ")[1].split(", ")]
    assert not any(
        net.overlaps(site.network.ipv6) for net in free6 for site in sites if site.network and site.network.ipv6
    )


# S04


@pytest.mark.parametrize(
    "prefix",
    [
        "192.0.2.0/26",
        "198.51.100.0/26",
        "203.0.113.0/26",
        "198.18.0.0/26",
        "198.19.255.192/26",
        "8.8.8.0/26",
        "223.255.255.192/26",
        "9.255.255.192/26",
        "11.0.0.0/26",
    ],
)
def test_global_documentation_and_benchmarking_prefixes_pass(prefix: str) -> None:
    assert problems("S04", fleet(values.physical("lga05", prefix, None))) == []


@pytest.mark.parametrize(
    "prefix",
    [
        "10.0.0.0/26",
        "10.255.255.192/26",
        "100.64.0.0/26",
        "127.0.0.0/26",
        "169.254.1.0/26",
        "172.31.255.192/26",
        "192.168.1.64/26",
        "224.0.0.0/26",
        "255.255.255.192/26",
        "0.0.0.0/26",
    ],
)
def test_prefixes_that_nobody_routes_fail(prefix: str) -> None:
    assert len(problems("S04", fleet(values.physical("lga05", prefix, None)))) == 1


@pytest.mark.parametrize(
    ("prefix", "count"),
    [
        ("2001:db8::/64", 0),
        ("2001:2::/64", 0),
        ("2a00::/64", 0),
        ("fc00::/64", 1),
        ("fe80::/64", 1),
        ("2002::/64", 1),
        ("2001:1::/64", 1),
        ("::/64", 1),
        ("4000::/64", 1),
    ],
)
def test_ipv6_prefixes_are_global_unicast(prefix: str, count: int) -> None:
    assert len(problems("S04", fleet(values.physical("lga05", "198.18.0.0/26", prefix)))) == count


def test_host_bits_are_named_with_the_network_to_write() -> None:
    assert prefixes.host_bits("198.18.0.1/26", IPv4Network("198.18.0.0/26")).endswith("write 198.18.0.0/26")
    assert prefixes.host_bits("198.18.0.64/26", IPv4Network("198.18.0.64/26")) == ""


# S05, S06, S07


def test_a_small_site_has_no_room_for_a_switch() -> None:
    site = values.physical("lga05", "198.18.0.0/28", None, machines=("mlab1",), switch=Switch())
    assert [text for text in problems("S05", fleet(site, experiments={})) if "BMC of mlab1 and switch would" in text]
    assert problems("S05", fleet(dataclasses.replace(site, switch=None), experiments={})) == []


@pytest.mark.parametrize("length", [28, 29])
def test_a_small_site_has_one_machine(length: int) -> None:
    site = values.physical("lga05", f"198.18.0.0/{length}", None, machines=("mlab1", "mlab2"), switch=None)
    assert len(problems("S05", fleet(site, experiments={}))) == 1


@pytest.mark.parametrize("length", [27, 30, 32])
def test_other_lengths_have_no_layout(length: int) -> None:
    site = values.physical("lga05", f"198.18.0.0/{length}", None, machines=("mlab1",), switch=None)
    assert problems("S05", fleet(site)) != []


def test_two_machines_of_a_virtual_site_need_two_addresses() -> None:
    same = values.virtual("chs01", {"mlab1": ("198.18.0.1", None), "mlab2": ("198.18.0.1", None)})
    assert problems("S05", fleet(same)) == ["mlab2 has 198.18.0.1, which is mlab1's; give it its own address"]


def allowing(site: Site, *codes: str) -> Site:
    return dataclasses.replace(site, allow=tuple(Silence(code, "a reason", site.span) for code in codes))


@pytest.mark.parametrize(
    ("prefix", "index", "address"),
    [
        ("192.158.252.176/28", 11, None),
        ("192.158.252.176/28", 12, "192.158.252.191, its broadcast address"),
        ("198.18.0.8/29", 3, None),
        ("198.18.0.8/29", 4, "198.18.0.15, its broadcast address"),
        ("198.18.0.8/29", 5, "198.18.0.16, outside of it"),
    ],
)
def test_an_index_without_slot_leaves_the_site_a_choice(prefix: str, index: int, address: str | None) -> None:
    site = values.physical("nuq08", prefix, None, machines=("mlab1",), switch=None)
    demo = {"demo": experiment("demo", index)}
    counts = [
        (len(problems("S05", fleet(chosen, experiments=demo))), len(problems("S06", fleet(chosen, experiments=demo))))
        for chosen in (site, allowing(site, "S05"), allowing(site, "S06"))
    ]
    # What is allowed must be reported, or the silence would be called unused.
    assert counts == ([(0, 0)] * 3 if address is None else [(1, 0), (1, 0), (0, 1)])
    assert address is None or address in problems("S05", fleet(site, experiments=demo))[0]


@pytest.mark.parametrize("state", ["retired", "unlisted"])
def test_a_site_that_is_published_nowhere_has_no_slots_to_lack(state: Any) -> None:
    assert problems("S05", fleet(values.nuq08(state=state))) == []


@pytest.mark.parametrize(("choice", "indexes"), [("S06", 11), ("S05", 12)])
def test_the_choice_decides_what_is_published(choice: str, indexes: int) -> None:
    derived = under(fleet(allowing(values.nuq08(), choice)), "measurement-lab.org")
    assert max(host.index for host in derived.experiments) == indexes
    last = [host for host in derived.experiments if host.index == 12]
    assert [host.ipv4 for host in last] == ["192.158.252.191"] * (indexes == 12)


@pytest.mark.parametrize(("prefix", "count"), [("198.18.0.240/29", 0), ("198.18.0.248/29", 1)])
def test_publishing_without_slots_ends_at_the_last_octet(prefix: str, count: int) -> None:
    site = values.physical("nuq08", prefix, None, machines=("mlab1",), switch=None)
    assert problems("S04", fleet(site)) == []
    assert len(problems("S04", fleet(allowing(site, "S05")))) == count


@pytest.mark.parametrize(("index", "errors"), [(11, 0), (12, 1)])
def test_an_index_without_slot_is_an_error_where_the_site_is_selected(index: int, errors: int) -> None:
    data = {"placements": [{"name": "demo", "type": "physical", "selector": {"mlab/site": "nuq08"}}]}
    subject = fleet(values.nuq08(), experiments={"demo": experiment("demo", index, data=data)})
    assert len(problems("S06", subject)) == errors


@pytest.mark.parametrize("prefix", ["198.18.0.0/26", "198.18.0.64/26", "198.18.0.128/26", "198.18.0.192/26"])
def test_the_node_derives_what_we_publish_in_every_quarter(prefix: str) -> None:
    site = values.physical("lga05", prefix, "2001:db8::/64")
    assert problems("S07", fleet(site)) == []
    assert site.network and site.network.ipv6
    for machine in addresses.MACHINES:
        own6 = addresses.machine6(site.network.ipv4, site.network.ipv6, machine)
        for index in range(1, 13):
            _, ipv6 = addresses.index2ip(addresses.machine4(site.network.ipv4, machine), own6, index)
            ours = addresses.experiment6(site.network.ipv4, site.network.ipv6, machine, index)
            assert IPv6Address(ipv6) == IPv6Address(ours) and IPv6Address(ours) in site.network.ipv6


@pytest.mark.parametrize(
    ("gateway", "count"),
    [("2001:db8::1", 0), ("2001:db8::ffff", 0), ("2001:db8:1::1", 1), ("2001:db8::9", 1), ("2001:db8::11", 1)],
)
def test_an_ipv6_gateway_is_inside_and_nobody_elses(gateway: str, count: int) -> None:
    site = values.physical("lga05", "198.18.0.0/26", "2001:db8::/64")
    assert site.network
    site = dataclasses.replace(site, network=dataclasses.replace(site.network, ipv6_gateway=gateway))
    assert len(problems("S07", fleet(site))) == count


def test_an_ipv6_prefix_too_long_for_three_digits_fails() -> None:
    assert len(problems("S07", fleet(values.physical("lga05", "198.18.0.0/26", "2001:db8::/120")))) == 1
