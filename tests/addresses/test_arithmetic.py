"""The index arithmetic: fixed values of real sites, and what must hold for every prefix."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcilers.fleet import addresses

MCK = IPv4Network("192.168.1.64/26")
MCK6 = IPv6Network("2001:1900:2100:2d::/64")


def test_a_site_in_the_middle_of_an_octet_has_the_known_addresses() -> None:
    assert addresses.gateway(MCK) == "192.168.1.65"
    assert addresses.switch(MCK) == "192.168.1.66"
    assert [addresses.bmc(MCK, index) for index in addresses.MACHINES] == [f"192.168.1.{n}" for n in (68, 69, 70, 71)]
    assert addresses.machine4(MCK, 2) == "192.168.1.86"
    assert addresses.machine6(MCK, MCK6, 2) == "2001:1900:2100:2d::86"
    assert addresses.machine6(MCK, None, 2) == ""
    assert addresses.experiment4(MCK, 2, 1) == "192.168.1.87"
    assert addresses.experiment6(MCK, MCK6, 2, 1) == "2001:1900:2100:2d::87"
    assert addresses.experiment6(MCK, None, 2, 1) == ""
    assert addresses.broadcast(MCK) == "192.168.1.127"
    assert addresses.gateway6(MCK6) == "2001:1900:2100:2d::1"
    assert addresses.gateway6(MCK6, "2001:1900:2100:2d::129") == "2001:1900:2100:2d::129"
    assert addresses.gateway6(MCK6, "129") == "2001:1900:2100:2d::129"


def test_a_small_site_has_one_machine_whose_controller_stands_where_a_switch_would() -> None:
    small = IPv4Network("192.158.252.176/28")
    assert addresses.gateway(small) == "192.158.252.177"
    assert addresses.bmc(small, 1) == addresses.switch(small) == "192.158.252.178"
    assert addresses.machine4(small, 1) == "192.158.252.179"
    assert addresses.experiment4(small, 1, 10) == "192.158.252.189"
    assert addresses.experiment4(small, 1, 12) == addresses.broadcast(small) == "192.158.252.191"


@pytest.mark.parametrize(
    ("length", "mask"),
    [
        (26, "255.255.255.192"),
        (27, "255.255.255.224"),
        (28, "255.255.255.240"),
        (29, "255.255.255.248"),
        (31, "255.255.255.254"),
        (32, "255.255.255.255"),
    ],
)
def test_a_length_prints_as_a_mask(length: int, mask: str) -> None:
    assert addresses.netmask(length) == mask


@pytest.mark.parametrize(("length", "slots"), [(26, 12), (28, 11), (29, 3), (32, 0), (24, 0)])
def test_only_the_lengths_of_sites_have_slots(length: int, slots: int) -> None:
    assert addresses.slots(length) == slots


def test_machines_of_a_full_site_stand_thirteen_apart() -> None:
    assert [addresses.machine_offset(26, index) for index in addresses.MACHINES] == [9, 22, 35, 48]
    assert [addresses.machine_offset(28, 1), addresses.machine_offset(29, 1)] == [3, 3]


@pytest.mark.parametrize(
    ("site", "machine", "project"),
    [
        ("lga05", "mlab1", "mlab-oti"),
        ("lga05", "mlab3", "mlab-oti"),
        ("lga05", "mlab4", "mlab-staging"),
        ("lga0t", "mlab1", "mlab-sandbox"),
        ("lga0t", "mlab4", "mlab-sandbox"),
    ],
)
def test_a_machine_belongs_to_the_project_that_its_name_means(site: str, machine: str, project: str) -> None:
    assert addresses.default_project(site, machine) == project


lengths = st.sampled_from([26, 28, 29])
prefixes = st.builds(
    lambda number, length: IPv4Network((number >> (32 - length) << (32 - length), length)),
    st.integers(min_value=0x01000000, max_value=0xDFFFFFFF),
    lengths,
)
prefixes6 = st.builds(
    lambda number, length: IPv6Network(((0x2000 << 112 | number) >> (128 - length) << (128 - length), length)),
    st.integers(min_value=0, max_value=(1 << 124) - 1),
    st.sampled_from([48, 64]),
)


def _machines(prefix: IPv4Network) -> tuple[int, ...]:
    return addresses.MACHINES if prefix.prefixlen == addresses.FULL_SITE else (1,)


@given(prefixes, prefixes6)
def test_the_node_computes_the_same_address_as_we_do(prefix: IPv4Network, prefix6: IPv6Network) -> None:
    for machine in _machines(prefix):
        ipv4 = addresses.machine4(prefix, machine)
        ipv6 = addresses.machine6(prefix, prefix6, machine)
        for index in range(1, addresses.slots(prefix.prefixlen) + 1):
            four, six = addresses.index2ip(ipv4, ipv6, index)
            assert four == addresses.experiment4(prefix, machine, index)
            assert IPv6Address(six) == IPv6Address(addresses.experiment6(prefix, prefix6, machine, index))
            assert addresses.index2ip(ipv4, "", index) == (four, "")


@given(prefixes, prefixes6)
def test_every_slot_is_distinct_and_inside_its_prefixes(prefix: IPv4Network, prefix6: IPv6Network) -> None:
    machines = _machines(prefix)
    has_switch = prefix.prefixlen == addresses.FULL_SITE
    offsets = dict(addresses.offsets(prefix.prefixlen, machines, has_switch=has_switch))
    assert len(set(offsets.values())) == len(offsets)
    assert all(0 < offset < prefix.num_addresses - 1 for offset in offsets.values())
    for machine in machines:
        assert IPv4Address(addresses.machine4(prefix, machine)) in prefix
        assert IPv6Address(addresses.machine6(prefix, prefix6, machine)) in prefix6


@given(prefixes, prefixes6)
def test_the_last_group_of_both_families_reads_alike(prefix: IPv4Network, prefix6: IPv6Network) -> None:
    for machine in _machines(prefix):
        octet = addresses.machine4(prefix, machine).rpartition(".")[2]
        assert addresses.machine6(prefix, prefix6, machine).rpartition("::")[2] == octet


@given(st.integers(min_value=0, max_value=0xFFFFFFFF))
def test_an_address_in_text_and_back_is_the_same(number: int) -> None:
    assert addresses.text4(number) == str(IPv4Address(number))
    assert addresses.number4(addresses.text4(number)) == number


@pytest.mark.parametrize(
    ("ipv4", "ipv6", "index", "expected"),
    [
        ("1.2.3.9", "1:2::9", 12, ("1.2.3.21", "1:2::21")),
        ("1.2.3.201", "1:2::201", 12, ("1.2.3.213", "1:2::213")),
        ("1.2.3.4", "1:2::", 6, ("1.2.3.10", "1:2::6")),
    ],
)
def test_decimal_digits_are_read_as_hexadecimal(ipv4: str, ipv6: str, index: int, expected: tuple[str, str]) -> None:
    assert addresses.index2ip(ipv4, ipv6, index) == expected


@pytest.mark.parametrize(
    ("ipv4", "ipv6", "index"),
    [
        ("1.2.3.250", "", 6),
        ("1.2.3.4", "", 0),
        ("1.2.3.4", "", -1),
        ("1.2.3.4", "1:2::fe", 1),
        ("1.2.3.4", "1:2::9999", 2),
    ],
)
def test_an_index_that_the_node_cannot_carry_out_is_an_error(ipv4: str, ipv6: str, index: int) -> None:
    with pytest.raises(ValueError, match=r"limit|invalid literal"):
        addresses.index2ip(ipv4, ipv6, index)
