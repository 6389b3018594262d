"""The committed fleet has the size and the odd cases that it is meant to have."""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv4Network, IPv6Network, ip_network
from math import asin, cos, radians, sin, sqrt

from reconcilers.fleet import addresses, derive
from reconcilers.fleet.model import Fleet, MachineSpec, Site
from tests.config.configuration import committed

V4, V6 = IPv4Network("198.18.0.0/15"), IPv6Network("2001:db8::/32")
FULL, SMALL = 26, 28
REGIONS = {  # active sites, physical, virtual, machines, oti, staging, sandbox, donated sites
    "AF": (8, 7, 1, 29, 22, 7, 0, 6),
    "AS": (24, 13, 11, 63, 50, 13, 0, 4),
    "EU": (49, 36, 13, 157, 121, 36, 0, 11),
    "NA": (65, 47, 18, 205, 145, 47, 13, 18),
    "OC": (7, 5, 2, 22, 17, 5, 0, 4),
    "SA": (11, 9, 2, 38, 29, 9, 0, 1),
}


def sites(fleet: Fleet, kind: str = "") -> list[Site]:
    return [site for site in fleet.sites.values() if kind in ("", site.type)]


def project(site: Site, machine: MachineSpec) -> str:
    return machine.project or addresses.default_project(site.name, machine.name)


def test_164_sites_of_which_117_physical_and_47_virtual() -> None:
    assert Counter(site.type for site in sites(committed())) == {"physical": 117, "virtual": 47}
    assert {site.lifecycle.state for site in sites(committed())} == {"active"}


def test_116_physical_sites_have_four_machines_and_a_switch_and_one_has_neither() -> None:
    full: list[Site] = []
    small: list[Site] = []
    for site in sites(committed(), "physical"):
        assert site.network is not None
        (full if site.network.ipv4.prefixlen == FULL else small).append(site)
    assert len(full) == 116
    for site in full:
        assert [machine.name for machine in site.machines] == ["mlab1", "mlab2", "mlab3", "mlab4"]
        assert site.switch is not None
    [one] = small
    assert one.network is not None and one.network.ipv4.prefixlen == SMALL
    assert [machine.name for machine in one.machines] == ["mlab1"] and one.switch is None


def test_514_machines_belong_to_the_three_projects() -> None:
    counted = Counter(project(site, machine) for site in sites(committed()) for machine in site.machines)
    assert counted == {"mlab-oti": 384, "mlab-staging": 117, "mlab-sandbox": 13}
    assert sum(len(site.machines) for site in sites(committed(), "virtual")) == 49


def test_regions_have_their_sites_and_machines() -> None:
    found = {}
    for region in REGIONS:
        own = [site for site in sites(committed()) if site.location.continent == region]
        machines = Counter(project(site, machine) for site in own for machine in site.machines)
        kinds = Counter(site.type for site in own)
        found[region] = (
            *(len(own), kinds["physical"], kinds["virtual"], machines.total()),
            *(machines["mlab-oti"], machines["mlab-staging"], machines["mlab-sandbox"]),
            sum(site.donated for site in own),
        )
    assert found == REGIONS


def test_five_test_sites_are_the_sandbox() -> None:
    found = {site.name: site.type for site in sites(committed()) if site.name.endswith("t")}
    physical, virtual = (
        dict.fromkeys(("lga0t", "lga1t"), "physical"),
        dict.fromkeys(("chs0t", "lax0t", "pdx0t"), "virtual"),
    )
    assert found == {**physical, **virtual}


def test_two_machines_are_in_another_project_than_their_name_says() -> None:
    deviating = {
        f"{machine.name}-{site.name}": (machine.project, bool(machine.project_reason))
        for site in sites(committed())
        for machine in site.machines
        if machine.project
    }
    assert deviating == {"mlab4-geg01": ("mlab-sandbox", True), "mlab3-iad08": ("mlab-staging", True)}


def test_three_sites_have_no_ipv6_and_one_has_a_48() -> None:
    lengths: Counter[int | None] = Counter()
    for site in sites(committed(), "physical"):
        assert site.network is not None
        lengths[site.network.ipv6.prefixlen if site.network.ipv6 else None] += 1
    assert lengths == {64: 113, 48: 1, None: 3}
    derived = derive.under(committed(), "measurement-lab.test")
    assert sum(not machine.ipv6 for machine in derived.machines) == 12


def test_uplinks_and_probabilities() -> None:
    uplinks = Counter((site.type, site.transit.uplink) for site in sites(committed()))
    assert uplinks == {("physical", "10g"): 113, ("physical", "1g"): 3, ("physical", "40g"): 1, ("virtual", "1g"): 47}
    chances = Counter((site.type, site.probability) for site in sites(committed()) if site.probability != 1)
    assert chances == {("physical", 0.5): 3, ("virtual", 0.05): 20, ("virtual", 0.25): 12, ("virtual", 0.5): 1}


def test_all_addresses_are_of_the_reserved_ranges() -> None:
    """No name or address of the fleet may mean a host of the outside world."""
    for site in sites(committed()):
        networks = [] if site.network is None else [site.network.ipv4, site.network.ipv6]
        networks += [ip_network(address) for m in site.machines for address in (m.ipv4, m.ipv6) if address]
        for network in networks:
            if isinstance(network, IPv4Network):
                assert network.subnet_of(V4), (site.name, network)
            elif network is not None:
                assert network.subnet_of(V6), (site.name, network)
    assert {environment.domain for environment in committed().environments.values()} == {"measurement-lab.test"}


def test_as_numbers_are_reserved_for_documentation_and_have_one_provider_each() -> None:
    providers: dict[int, set[str]] = {}
    for site in sites(committed()):
        asn = site.transit.asn
        assert 64496 <= asn <= 64511 or 65536 <= asn <= 65551, (site.name, asn)
        providers.setdefault(asn, set()).add(site.transit.provider)
    assert all(len(names) == 1 for names in providers.values()), providers


def test_metros_and_countries() -> None:
    places = {site.location.metro: site.location for site in sites(committed())}
    assert len(places) == 81
    assert len({place.country for place in places.values()}) == 45
    by_country = Counter(site.location.country for site in sites(committed()))
    assert {country: by_country[country] for country in ("US", "CA", "IN", "IT", "FR")} == {
        "US": 50, "CA": 12, "IN": 9, "IT": 6, "FR": 6
    }  # fmt: skip
    assert places["osl"].country == "NO"


def test_no_two_metros_are_the_same_place() -> None:
    places = sorted({(s.location.metro, s.location.latitude, s.location.longitude) for s in sites(committed())})
    assert len(places) == len({metro for metro, *_ in places})
    for position, (metro, *here) in enumerate(places):
        for other, *there in places[position + 1 :]:
            assert _km(here, there) > 40, (metro, other)


def _km(here: list[float], there: list[float]) -> float:
    lat1, lon1, lat2, lon2 = map(radians, (*here, *there))
    half = sin((lat2 - lat1) / 2) ** 2 + cos(lat1) * cos(lat2) * sin((lon2 - lon1) / 2) ** 2
    return 12742 * asin(sqrt(half))


def test_experiments_have_the_public_platforms_names_order_and_indexes() -> None:
    listed = [(entry.name, entry.index, entry.cloud) for entry in derive.entries(committed().experiments.values())]
    names = [
        "msak",
        "ndt",
        "ndt.iupui",
        "revtr",
        "ark",
        "wehe",
        "pt",
        "flooefi",
        "demo8",
        "demo9",
        "neubot",
        "neubot.mlab",
        "demo11",
        "demo12",
    ]
    indexes = [1, 2, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 11, 12]
    assert listed == [(name, index, name.startswith("ndt")) for name, index in zip(names, indexes, strict=True)]
    assert committed().experiments["host"].index is None
