"""What follows from the configuration: hosts with their names and addresses, as frozen values.

One pass over the fleet makes every machine, experiment host, baseboard controller and switch of one environment's
domain; renderers and published files select from it. All projects are derived, whichever environment asks: the
published files describe the whole fleet, and a renderer takes `machines_of(project)`.

Only sites in a published state are here. A planned or unlisted site has no names yet, a retired one has given its
addresses back: `retired` says which hosts such sites had, for the files that keep history, and `site_machines`
answers for any site, because a retired site's boot records may be kept.

Integers and text, no `ipaddress` in the loops: the fleet of 164 sites derives in some 20 ms.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from reconcilers.core.model import Span
from reconcilers.fleet import addresses, names
from reconcilers.fleet.memo import OfFleet
from reconcilers.fleet.model import PUBLISHED_STATES, Environment, Experiment, Fleet, Site, SiteType, allows

UPLINK_PORTS = {"40g": "et-0/0/23", "10g": "xe-0/0/45", "1g": "ge-0/0/47"}
"""The port of the uplink on our switches, by its speed."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine: `name` is `mlab1`; `ipv6` is `""` without IPv6; a virtual machine has no `bmc`."""

    site: str
    name: str
    index: int
    type: SiteType
    project: str
    hostname: str
    ipv4: str
    ipv6: str
    bmc: str
    bmc_hostname: str
    span: Span


@dataclass(frozen=True, slots=True)
class ExperimentHost:
    """One experiment, under its name or an alias, on one machine."""

    experiment: str
    index: int
    machine: Machine
    hostname: str
    ipv4: str
    ipv6: str


@dataclass(frozen=True, slots=True)
class SwitchHost:
    """A site's managed switch; it has no IPv6 and no project."""

    site: str
    hostname: str
    ipv4: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One published line of the list of experiments: a name or an alias, with what it shares."""

    name: str
    index: int
    cloud: bool
    ipv6: bool


@dataclass(frozen=True, slots=True)
class Derived:
    """All hosts of the fleet: sorted by site, then machine, then the experiments' published order."""

    machines: tuple[Machine, ...]
    experiments: tuple[ExperimentHost, ...]
    switches: tuple[SwitchHost, ...]

    def machines_of(self, project: str) -> tuple[Machine, ...]:
        """The machines that one project owns."""
        return tuple(machine for machine in self.machines if machine.project == project)

    def experiments_of(self, project: str) -> tuple[ExperimentHost, ...]:
        """The experiment hosts on machines that one project owns."""
        return tuple(host for host in self.experiments if host.machine.project == project)


def derive(fleet: Fleet, environment: Environment) -> Derived:
    """Every host under the environment's domain. Pure; equal input gives equal output in equal order."""
    return under(fleet, environment.domain)


def under(fleet: Fleet, domain: str) -> Derived:
    """Every host under a domain; asking again about the same fleet costs nothing."""
    return _DERIVED(fleet, domain)


def retired(fleet: Fleet, domain: str) -> Derived:
    """The hosts that retired sites had; nobody answers at their addresses, and others may have them by now."""
    return _RETIRED(fleet, domain)


def _derived(fleet: Fleet, domain: str) -> Derived:
    return _of(fleet, published_sites(fleet), domain)


def _retired(fleet: Fleet, domain: str) -> Derived:
    return _of(fleet, retired_sites(fleet), domain)


def _of(fleet: Fleet, sites: Iterable[Site], domain: str) -> Derived:
    listed = entries(fleet.experiments.values())
    machines: list[Machine] = []
    hosts: list[ExperimentHost] = []
    switches: list[SwitchHost] = []
    for site in sites:
        of_site = site_machines(site, domain)
        machines.extend(of_site)
        hosts.extend(experiment_hosts(site, of_site, listed, domain))
        if site.switch is not None and site.network is not None:
            hostname = names.switch(site.name, domain)
            switches.append(SwitchHost(site.name, hostname, addresses.switch(site.network.ipv4)))
    return Derived(tuple(machines), tuple(hosts), tuple(switches))


_DERIVED = OfFleet(_derived)
_RETIRED = OfFleet(_retired)


def published_sites(fleet: Fleet) -> Iterator[Site]:
    """The sites in a published state, by name."""
    return (fleet.sites[name] for name in sorted(fleet.sites) if fleet.sites[name].lifecycle.state in PUBLISHED_STATES)


def retired_sites(fleet: Fleet) -> Iterator[Site]:
    """The retired sites, by name."""
    return (fleet.sites[name] for name in sorted(fleet.sites) if fleet.sites[name].lifecycle.state == "retired")


def entries(experiments: Iterable[Experiment]) -> tuple[Entry, ...]:
    """The published list of experiments: by position, each followed by its aliases; none without an index."""
    return tuple(
        Entry(name, experiment.index, experiment.cloud, experiment.ipv6)
        for experiment in sorted(experiments, key=lambda e: (e.position, e.name))
        if experiment.index is not None
        for name in (experiment.name, *experiment.aliases)
    )


def site_machines(site: Site, domain: str) -> tuple[Machine, ...]:
    """The machines of one site in any state, by name."""
    made = []
    network = site.network
    base = "" if network is None or network.ipv6 is None else addresses.base6(network.ipv6)
    for spec in sorted(site.machines, key=lambda s: s.name):
        index = addresses.machine_index(spec.name)
        project = spec.project or addresses.default_project(site.name, spec.name)
        if network is not None:
            number = int(network.ipv4.network_address) + addresses.machine_offset(network.ipv4.prefixlen, index)
            ipv4 = addresses.text4(number)
            ipv6 = addresses.join6(base, number) if base else ""
            bmc = addresses.bmc(network.ipv4, index)
            bmc_hostname = names.bmc(spec.name, site.name, project, domain)
        else:
            ipv4 = "" if spec.ipv4 is None else str(spec.ipv4)
            ipv6 = "" if spec.ipv6 is None else str(spec.ipv6)
            bmc = bmc_hostname = ""
        made.append(
            Machine(
                site=site.name,
                name=spec.name,
                index=index,
                type=site.type,
                project=project,
                hostname=names.machine(spec.name, site.name, project, domain),
                ipv4=ipv4,
                ipv6=ipv6,
                bmc=bmc,
                bmc_hostname=bmc_hostname,
                span=spec.span,
            )
        )
    return tuple(made)


def experiment_hosts(
    site: Site, machines: Iterable[Machine], listed: Iterable[Entry], domain: str
) -> Iterator[ExperimentHost]:
    """The experiments of one site's machines.

    A virtual machine serves the cloud-enabled ones from its own address. On a physical one an index beyond the slots
    of the prefix is left out, unless the site's file allows it.
    """
    if site.network is None:
        cloud = [entry for entry in listed if entry.cloud]
        for machine in machines:
            for entry in cloud:
                hostname = names.experiment(entry.name, machine.name, site.name, machine.project, domain)
                yield ExperimentHost(entry.name, entry.index, machine, hostname, machine.ipv4, machine.ipv6)
        return
    prefix = site.network.ipv4
    limit = index_limit(site)
    fitting = [(entry, names.flat(entry.name)) for entry in listed if entry.index <= limit]
    head = addresses.text4(int(prefix.network_address)).rpartition(".")[0]
    base = "" if site.network.ipv6 is None else addresses.base6(site.network.ipv6)
    octet = int(prefix.network_address) & 255
    for machine in machines:
        tail = f"{machine.name}-{site.name}.{machine.project}.{domain}"
        first = octet + addresses.machine_offset(prefix.prefixlen, machine.index)
        for entry, flat in fitting:
            last = first + entry.index
            yield ExperimentHost(
                entry.name, entry.index, machine, f"{flat}-{tail}", f"{head}.{last}", f"{base}{last}" if base else ""
            )


def index_limit(site: Site) -> int:
    """The highest experiment index that a physical site has addresses for.

    A small prefix has few slots, and what lies beyond is the broadcast address or somebody else's. The public platform
    publishes all the same; a site whose consumers rely on that allows rule S05.
    """
    if site.network is None or allows(site, "S05"):
        return addresses.MAX_INDEX
    return addresses.slots(site.network.ipv4.prefixlen)


def sites_without_slot(fleet: Fleet, index: int) -> tuple[str, ...]:
    """Published physical sites that have no address for an experiment's index: it is not deployed there."""
    return tuple(site.name for site in published_sites(fleet) if site.network and index > index_limit(site))


def uplink_port(site: Site) -> str:
    """The switch port of the uplink: what the site's file says, or the one that its speed means; `""` if unmanaged."""
    if site.switch is None:
        return ""
    return site.switch.uplink_port or UPLINK_PORTS[site.transit.uplink]
