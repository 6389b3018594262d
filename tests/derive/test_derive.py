"""Hosts that follow from a site: the known values of real sites, states, projects, order, and speed."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest

from reconcilers.fleet import addresses, derive, names
from tests import fleet_values as values

LGA6, NUQ6 = "2001:1900:2100:14::", "2001:4f8:ffff:3::"

HOSTS = [
    # host, BMC, IPv4, IPv6, and the last octet or digits of ndt (2), wehe (5), neubot (10)
    ("mlab1-lga05.mlab-oti", "4.35.94.4", "4.35.94.9", f"{LGA6}9", (11, 14, 19)),
    ("mlab2-lga05.mlab-oti", "4.35.94.5", "4.35.94.22", f"{LGA6}22", (24, 27, 32)),
    ("mlab3-lga05.mlab-oti", "4.35.94.6", "4.35.94.35", f"{LGA6}35", (37, 40, 45)),
    ("mlab4-lga05.mlab-staging", "4.35.94.7", "4.35.94.48", f"{LGA6}48", (50, 53, 58)),
    ("mlab1-nuq08.mlab-oti", "192.158.252.178", "192.158.252.179", f"{NUQ6}179", (181, 184, 189)),
]


@pytest.fixture(scope="module")
def derived() -> derive.Derived:
    return derive.derive(values.fleet(), values.environment())


def machine(derived: derive.Derived, short: str) -> derive.Machine:
    return next(m for m in derived.machines if m.hostname == f"{short}.measurement-lab.org")


@pytest.mark.parametrize(("short", "bmc", "ipv4", "ipv6", "last"), HOSTS)
def test_a_physical_machine_and_its_experiments_have_the_known_addresses(
    derived: derive.Derived, short: str, bmc: str, ipv4: str, ipv6: str, last: tuple[int, int, int]
) -> None:
    found = machine(derived, short)
    assert (found.bmc, found.ipv4, found.ipv6) == (bmc, ipv4, ipv6)
    hosts = {host.experiment: host for host in derived.experiments if host.machine is found}
    for name, octet in zip(("ndt", "wehe", "neubot"), last, strict=True):
        assert hosts[name].hostname == f"{name}-{short}.measurement-lab.org"
        assert hosts[name].ipv4 == f"{ipv4.rpartition('.')[0]}.{octet}"
        assert hosts[name].ipv6 == f"{ipv6.rpartition('::')[0]}::{octet}"


@pytest.mark.parametrize(
    ("short", "ipv4", "ipv6"),
    [
        ("mlab1-chs0t.mlab-sandbox", "34.148.229.79", "2600:1900:4020:31cd:8000::"),
        ("mlab2-chs0t.mlab-sandbox", "34.23.227.171", "2600:1900:4020:31cd:0:5f::"),
    ],
)
def test_a_virtual_machine_serves_the_cloud_experiments_from_its_own_address(
    derived: derive.Derived, short: str, ipv4: str, ipv6: str
) -> None:
    found = machine(derived, short)
    assert (found.bmc, found.bmc_hostname, found.ipv4, found.ipv6) == ("", "", ipv4, ipv6)
    hosts = [host for host in derived.experiments if host.machine is found]
    assert [(host.experiment, host.ipv4, host.ipv6) for host in hosts] == [
        ("ndt", ipv4, ipv6),
        ("ndt.iupui", ipv4, ipv6),
    ]


def test_a_site_without_ipv6_has_empty_texts_and_never_null(derived: derive.Derived) -> None:
    assert machine(derived, "mlab1-del02.mlab-oti").ipv6 == ""
    assert {host.ipv6 for host in derived.experiments if host.machine.site == "del02"} == {""}


def test_a_long_prefix_and_a_high_octet_keep_their_decimal_digits(derived: derive.Derived) -> None:
    found = machine(derived, "mlab4-trn02.mlab-staging")
    assert (found.ipv4, found.ipv6) == ("194.116.85.240", "2a07:1ec0:775::240")


def test_a_machine_may_deviate_from_the_project_of_its_name(derived: derive.Derived) -> None:
    found = machine(derived, "mlab4-geg01.mlab-sandbox")
    assert (found.project, found.ipv4) == ("mlab-sandbox", "50.52.93.112")
    assert {m.project for m in derived.machines if m.site == "lga1t"} == {"mlab-sandbox"}


def test_only_sites_with_a_managed_switch_have_one(derived: derive.Derived) -> None:
    switches = {switch.site: switch for switch in derived.switches}
    assert sorted(switches) == ["del02", "geg01", "lga05", "lga1t", "trn02"]
    assert (switches["lga05"].hostname, switches["lga05"].ipv4) == ("s1-lga05.measurement-lab.org", "4.35.94.2")


@pytest.mark.parametrize(
    ("site", "port"), [(values.lga05(), "xe-0/0/45"), (values.geg01(), "et-0/0/23"), (values.lga1t(), "ge-0/0/47")]
)
def test_the_uplink_port_follows_from_the_speed(site: object, port: str) -> None:
    assert derive.uplink_port(site) == port  # type: ignore[arg-type]


def test_an_index_beyond_the_prefix_has_no_host(derived: derive.Derived) -> None:
    at_nuq = [host.experiment for host in derived.experiments if host.machine.site == "nuq08"]
    at_lga = [host.experiment for host in derived.experiments if host.machine.hostname.startswith("mlab1-lga05.")]
    assert "demo11" in at_nuq
    assert "demo12" not in at_nuq
    assert len(at_lga) == 14
    assert at_lga[:3] == ["msak", "ndt", "ndt.iupui"]
    assert at_lga[-4:] == ["neubot", "neubot.mlab", "demo11", "demo12"]


@pytest.mark.parametrize("state", ["planned", "retired", "unlisted"])
def test_a_site_that_is_not_published_has_no_hosts(state: str) -> None:
    derived = derive.derive(values.fleet(values.lga05(state=state)), values.environment())
    assert (derived.machines, derived.experiments, derived.switches) == ((), (), ())


def test_a_lame_duck_keeps_its_hosts() -> None:
    derived = derive.derive(values.fleet(values.lga05(state="lame-duck")), values.environment())
    assert (len(derived.machines), len(derived.experiments), len(derived.switches)) == (4, 56, 1)


def test_every_host_name_is_unique_and_parses_to_where_it_came_from(derived: derive.Derived) -> None:
    hostnames = [m.hostname for m in derived.machines] + [host.hostname for host in derived.experiments]
    assert len(set(hostnames)) == len(hostnames)
    for host in derived.experiments:
        parsed = names.parse_published(host.hostname, domain="measurement-lab.org")
        assert (parsed.experiment, parsed.machine, parsed.site, parsed.project) == (
            names.flat(host.experiment),
            host.machine.name,
            host.machine.site,
            host.machine.project,
        )


def test_the_node_computes_the_address_of_every_experiment(derived: derive.Derived) -> None:
    physical = [host for host in derived.experiments if host.machine.type == "physical"]
    assert physical
    for host in physical:
        ipv4, ipv6 = addresses.index2ip(host.machine.ipv4, host.machine.ipv6, host.index)
        assert ipv4 == host.ipv4
        assert (IPv6Address(ipv6) if ipv6 else "") == (IPv6Address(host.ipv6) if host.ipv6 else "")


def test_selecting_a_project_partitions_the_fleet(derived: derive.Derived) -> None:
    parts = [derived.machines_of(project) for project in values.PROJECTS.values()]
    assert sorted(m.hostname for part in parts for m in part) == sorted(m.hostname for m in derived.machines)
    hosts = [host for project in values.PROJECTS.values() for host in derived.experiments_of(project)]
    assert len(hosts) == len(derived.experiments)


def test_the_domain_is_the_environments() -> None:
    environment = values.environment(domain="measurement-lab.test")
    derived = derive.derive(values.fleet(values.lga05()), environment)
    assert {m.hostname.split(".", 2)[2] for m in derived.machines} == {"measurement-lab.test"}
    assert derived.switches[0].hostname == "s1-lga05.measurement-lab.test"


def test_asking_twice_about_one_fleet_answers_with_the_same_value() -> None:
    fleet = values.fleet()
    first = derive.derive(fleet, values.environment("sandbox"))
    assert derive.derive(fleet, values.environment("staging")) is first
    assert derive.derive(values.fleet(), values.environment("sandbox")) is not first
    assert derive.derive(values.fleet(), values.environment("sandbox")) == first


def test_a_fleet_of_the_real_size_derives_every_experiment() -> None:
    sites = [
        values.physical(f"{chr(97 + n // 26)}{chr(97 + n % 26)}x01", f"198.18.{n}.0/26", f"2001:db8:{n:x}::/64")
        for n in range(117)
    ]
    fleet = values.fleet(*sites)
    derived = derive.derive(fleet, values.environment())
    assert len(derived.experiments) == 117 * 4 * 14
    assert IPv4Address(derived.experiments[-1].ipv4) == IPv4Address("198.18.116.60")
