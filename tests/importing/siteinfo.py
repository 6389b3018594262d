"""Inventories in siteinfo's form, written for these tests: a library of ours, and sites of every kind.

`SITES` holds one site of each kind and one for each inconsistency that such inventories are known to have. Prefixes are
of ranges for documentation and benchmarking, AS numbers of those for documentation; nothing here exists.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import rjsonnet

LIBRARY = Path(__file__).with_name("library")
PLACES: Mapping[str, tuple[str, str, str, str, float, float]] = {
    "ath": ("Athens", "", "GR", "EU", 37.9364, 23.9445),
    "atl": ("Atlanta", "GA", "US", "NA", 33.6367, -84.4281),
    "chs": ("Charleston", "SC", "US", "NA", 32.8986, -80.0405),
    "del": ("New Delhi", "", "IN", "AS", 28.5665, 77.1031),
    "dfw": ("Dallas", "TX", "US", "NA", 32.8969, -97.0381),
    "geg": ("Spokane", "WA", "US", "NA", 47.6199, -117.5339),
    "iad": ("Washington", "DC", "US", "NA", 38.9445, -77.4558),
    "lga": ("New York", "NY", "US", "NA", 40.7772, -73.8726),
    "lhr": ("London", "", "GB", "EU", 51.4706, -0.461941),
    "nuq": ("Mountain View", "CA", "US", "NA", 37.4161, -122.049),
    "osl": ("Oslo", "", "NO", "EU", 60.1939, 11.1004),
    "sfo": ("San Francisco", "CA", "US", "NA", 37.619, -122.375),
    "trn": ("Turin", "", "IT", "EU", 45.2008, 7.64963),
}
"""City, state, country, continent, latitude, longitude of each metro."""


@dataclass(frozen=True, slots=True)
class SiteFile:
    """One site file: its name, the list that has it (or none), and the body that it adds to the defaults."""

    name: str
    state: str
    body: str
    kind: str = "physical"

    def text(self) -> str:
        """The file."""
        base = "_default.jsonnet" if self.kind == "physical" else "_default_virtual.jsonnet"
        return f"(import 'sites/{base}') {{\n{self.body}}}\n"

    def but(self, old: str, new: str) -> SiteFile:
        """The same with a text replaced."""
        assert old in self.body, f"{self.name} does not hold {old!r}"
        return replace(self, body=self.body.replace(old, new))


def _common(name: str, created: str, retired: str | None, provider: str, asn: int, uplink: str, place: str) -> str:
    city, state, country, continent, latitude, longitude = PLACES[name[:3]]
    where: dict[str, Any] = {"city": city, "state": state, "country_code": country, "continent_code": continent}
    where |= {"latitude": latitude, "longitude": longitude, "metro": name[:3]}
    life = {"created": created, **({"retired": retired} if retired else {})}
    return (
        f"  name: '{name}',\n  lifecycle+: {json.dumps(life)},\n"
        f"  location: {json.dumps(where)}{place},\n"
        f"  transit+: {{ asn: 'AS{asn}', provider: {json.dumps(provider)}, uplink: '{uplink}' }},\n"
    )


def physical(
    name: str,
    prefix: str,
    prefix6: str | None,
    *,
    state: str = "active",
    created: str = "2020-05-01",
    retired: str | None = None,
    provider: str = "Example Transit",
    asn: int = 64500,
    uplink: str = "10g",
    place: str = "",
    more: str = "",
) -> SiteFile:
    """A physical site; `place` and `more` are added to the location and to the whole as they are."""
    body = _common(name, created, retired, provider, asn, uplink, place)
    body += f"  network+: {{ ipv4+: {{ prefix: '{prefix}' }}, ipv6+: {{ prefix: {json.dumps(prefix6)} }} }},\n"
    return SiteFile(name, state, body + more)


def virtual(
    name: str,
    machines: Mapping[str, tuple[str, str | None]],
    *,
    state: str = "active",
    created: str = "2022-05-01",
    retired: str | None = None,
    fields: str = "disk: 'pd-ssd', iface: 'ens4', model: 'n2-highcpu-4'",
    project: Mapping[str, str] | None = None,
    uplink: str = "1g",
) -> SiteFile:
    """A virtual site; `fields` is what each machine says besides project and addresses."""
    body = _common(name, created, retired, "Cloud Backbone", 64510, uplink, "")
    body += "  annotations+: { provider: 'gcp' },\n  machines: {\n"
    for machine, (ipv4, ipv6) in machines.items():
        own = (project or {}).get(machine, "mlab-staging" if machine == "mlab4" else "mlab-oti")
        addresses = f"ipv4: {{ address: '{ipv4}/32' }}, ipv6: {{ address: {json.dumps(ipv6 and f'{ipv6}/128')} }}"
        body += f"    {machine}: {{ {fields}{', ' if fields else ''}project: '{own}', network: {{ {addresses} }} }},\n"
    return SiteFile(name, state, body + "  },\n", "virtual")


_ONE = "  switch: null,\n  machines: { mlab1: { disk: 'sda', iface: 'eth0', model: 'r630', project: 'mlab-oti' } },\n"
_SANDBOX = "  machines+: { ['mlab' + n]+: { project: 'mlab-sandbox' } for n in ['1', '2', '3', '4'] },\n"
_SITES = (
    physical("lga01", "198.18.0.0/26", "2001:db8:0:1::/64"),
    physical("del01", "198.18.0.64/26", None, provider="Example Networks (India) Ltd.", asn=64501),
    physical("trn01", "198.18.1.192/26", "2001:db8:775::/48"),
    physical(
        "osl01", "198.18.1.0/26", "2001:db8:0:3::/64", more="  annotations+: { donated: true, probability: 0.25 },\n"
    ),
    # Small prefixes: index 12 of a /28 is its broadcast address, a /29 has room for three.
    physical("nuq01", "198.18.2.176/28", "2001:db8:0:4::/64", more=_ONE),
    physical("sfo01", "198.18.2.8/29", None, more=_ONE),
    # A quotation mark, a machine in another project, a 40g uplink and another switch.
    physical(
        "geg01",
        "198.18.3.0/26",
        "2001:db8:0:5::/64",
        provider='"Example Networks LLC',
        asn=64502,
        uplink="40g",
        more="  switch+: { model: 'qfx5100-24q' },\n"
        "  machines+: { mlab4+: { project: 'mlab-sandbox', model: 'r630' } },\n",
    ),
    physical(
        "lga0t",
        "198.18.3.64/26",
        "2001:db8:0:6::/64",
        uplink="1g",
        more="  switch+: { auto_negotiation: 'no', uplink_port: 'ge-0/0/46' },\n" + _SANDBOX,
    ),
    virtual("dfw01", {"mlab1": ("198.19.0.1", "2001:db8:9:1::")}),
    virtual(
        "chs0t",
        {"mlab1": ("198.19.0.2", None), "mlab2": ("198.19.0.3", "2001:db8:9:3:0:5f::")},
        project={"mlab1": "mlab-sandbox", "mlab2": "mlab-sandbox"},
    ),
    # A machine in another project, one without disk, one of which nothing is known.
    virtual("iad01", {"mlab3": ("198.19.0.4", None), "mlab4": ("198.19.0.5", None)}, project={"mlab3": "mlab-staging"}),
    virtual("dfw02", {"mlab1": ("198.19.0.6", None)}, fields="iface: 'ens4', model: 'n1-highcpu-4'"),
    virtual("lhr01", {"mlab1": ("198.19.0.7", None)}, fields=""),
    # One AS number under two names.
    physical("atl01", "198.18.4.0/26", None, provider="Example Backbone", asn=64503),
    physical("atl02", "198.18.4.64/26", None, provider="Example Backbone Inc.", asn=64503, created="2023-01-01"),
    # Prefixes that came back: in order, and with a day of creation that nobody noted.
    physical("lga02", "198.18.5.0/26", None, state="retired", created="2012-03-04", retired="2019-02-01"),
    physical("lga03", "198.18.5.0/26", None, created="2020-02-01"),
    physical(
        "lhr02", "198.18.5.64/26", "2001:db8:0:7::/64", state="retired", created="2011-03-04", retired="2021-02-01"
    ),
    physical("lhr03", "198.18.5.64/26", "2001:db8:0:7::/64", created="2019-01-01"),
    # Records of sites that are gone lack what nobody noted.
    physical(
        "ath01",
        "198.18.6.0/26",
        None,
        state="retired",
        created="2009-08-10",
        retired="2016-07-06",
        place=" { continent_code: '' }",
    ),
    physical(
        "atl03",
        "198.18.6.64/26",
        None,
        state="retired",
        created="2010-08-10",
        retired="2017-07-06",
        place=" { state: '' }",
    ),
    virtual("osl02", {"mlab1": ("198.19.0.8", None)}, state="retired", retired="2023-10-01", uplink="10g").but(
        "provider: 'gcp'", "provider: 'equinix'"
    ),
    # In neither list.
    virtual("lhr04", {"mlab1": ("198.19.0.9", "2001:db8:9:9::")}, state="unlisted", retired="2024-02-07"),
)
SITES: Mapping[str, SiteFile] = {site.name: site for site in _SITES}


def many() -> Mapping[str, SiteFile]:
    """As many sites as the public platform had: 164 active (117 physical), 186 retired (144 physical), 1 unlisted."""
    names = (f"{metro}{number:02}" for number in range(1, 100) for metro in PLACES)
    made: list[SiteFile] = []
    for state, kind, count in (
        ("active", "physical", 117),
        ("active", "virtual", 47),
        ("retired", "physical", 144),
        ("retired", "virtual", 42),
        ("unlisted", "virtual", 1),
    ):
        retired = None if state == "active" else "2024-02-07"
        for _ in range(count):
            place, name = len(made), next(names)
            if kind == "virtual":
                machines = {"mlab1": (f"198.19.{128 + place // 250}.{place % 250 + 1}", f"2001:db8:ff:{place:x}::")}
                made.append(virtual(name, machines, state=state, retired=retired))
            else:
                prefix = f"198.18.{place // 4}.{place % 4 * 64}/26"
                made.append(physical(name, prefix, f"2001:db8:1:{place:x}::/64", state=state, retired=retired))
    return {site.name: site for site in made}


def write(root: Path, sites: Mapping[str, SiteFile] = SITES, *, experiments: str | None = None) -> Path:
    """A checkout with these sites."""
    shutil.copytree(LIBRARY, root, dirs_exist_ok=True)
    for site in sites.values():
        (root / "sites" / f"{site.name}.jsonnet").write_text(site.text())
    for file, state in (("sites.jsonnet", "active"), ("retired.jsonnet", "retired")):
        listed = "".join(f"  (import 'sites/{name}.jsonnet'),\n" for name, site in sites.items() if site.state == state)
        (root / file).write_text(f"[\n{listed}]\n")
    if experiments is not None:
        (root / "experiments.jsonnet").write_text(experiments)
    return root


_PUBLISHED = """
local experiments = import 'experiments.jsonnet';
local places = { '26': 12, '28': 11, '29': 3 };
local count(site) = if std.objectHas(site, 'network') then places[std.split(site.network.ipv4.prefix, '/')[1]] else 12;
[
  site {
    nodes: [
      local machine = site.Machine(name);
      machine {
        hostname: machine.Hostname(),
        experiments: std.prune([site.Experiment(name, experiment) for experiment in experiments[0:count(site)]]),
      }
      for name in std.objectFields(site.machines)
    ],
  }
  for site in (import '%s.jsonnet')
]
"""
_HOSTNAMES = """
local host(it) = { hostname: it.hostname, ipv4: it.v4.ip, ipv6: it.v6.ip };
local sites = import 'sites.jsonnet';
[
  host(site.Machine(name) { hostname: site.Machine(name).Hostname() })
  for site in sites
  for name in std.objectFields(site.machines)
] + [
  host(found)
  for site in sites
  for name in std.objectFields(site.machines)
  for found in std.prune([site.Experiment(name, experiment) for experiment in (import 'experiments.jsonnet')])
]
"""


def publish(checkout: Path, into: Path) -> Path:
    """What the inventory publishes, as its own program makes it."""
    made: dict[str, Any] = {
        "v2/sites/sites.json": _PUBLISHED % "sites",
        "v2/retired/sites.json": _PUBLISHED % "retired",
        "v2/sites/hostnames.json": _HOSTNAMES,
    }
    for path, source in made.items():
        (into / path).parent.mkdir(parents=True, exist_ok=True)
        text = rjsonnet.evaluate_snippet("published", source, jpathdir=[str(checkout)], ext_vars={"version": "v2"})
        (into / path).write_text(text)
    return into
