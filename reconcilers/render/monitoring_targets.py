"""Targets of the probes, in Prometheus' file discovery format: a JSON array of `{"labels": …, "targets": [host:port]}`.

Three shapes, as the public platform has them: a record for each experiment on a machine, for each machine, for each
site. Directory and file names and labels are an interface: Locate, Grafana and the rules select by them.
Unlike the original, an IPv6 file leaves out what has no IPv6 address: a name without a record cannot be probed, and
counted as down it would hide real failures under a looser threshold.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from reconcilers.fleet import names
from reconcilers.fleet.derive import Derived, ExperimentHost, Machine
from reconcilers.fleet.names import Decoration

SANDBOX = "mlab-sandbox"
_SWITCH_SITES = {True: re.compile(r"[a-z]{3}[0-9]t"), False: re.compile(r"[a-z]{3}[0-9]{2}")}
"""Switches have no project: the sandbox watches the test sites, the others the rest."""


@dataclass(frozen=True, slots=True)
class TargetFile:
    """One file: `of` is an experiment's name, or `machines` or `switches`; `port` 0 leaves the bare name."""

    path: str
    of: str
    port: int
    labels: Mapping[str, str]
    decoration: Decoration = ""
    physical: bool = False


def _experiment(service: str, experiment: str, port: int, module: str) -> Iterator[TargetFile]:
    for family, suffix in (("v4", ""), ("v6", "_ipv6")):
        directory = "blackbox-targets-ipv6" if suffix else "blackbox-targets"
        labels = {"service": service + suffix, "module": module.format(family)}
        decoration: Decoration = "v6" if suffix else ""
        yield TargetFile(f"{directory}/{service}{suffix}.json", experiment, port, labels, decoration)


FILES: tuple[TargetFile, ...] = (
    *_experiment("ndt7", "ndt.iupui", 443, "tcp_{}_tls_online"),
    *_experiment("ndt_raw", "ndt.iupui", 3001, "tcp_{}_online"),
    *_experiment("ndt_ssl", "ndt.iupui", 3010, "tcp_{}_tls_online"),
    *_experiment("neubot", "neubot.mlab", 80, "tcp_{}_online"),
    *_experiment("neubot_tls", "neubot.mlab", 443, "tcp_{}_tls_online"),
    TargetFile(
        "blackbox-targets/ssh.json", "machines", 22, {"service": "ssh", "module": "ssh_v4_online"}, physical=True
    ),
    TargetFile(
        "blackbox-targets-ipv6/ssh_ipv6.json",
        "machines",
        22,
        {"service": "ssh_ipv6", "module": "ssh_v6_online"},
        "v6",
        physical=True,
    ),
    TargetFile("blackbox-targets/switches_ping.json", "switches", 0, {"module": "icmp"}),
    TargetFile("script-targets/wehe_client.json", "machines", 0, {"service": "wehe_client", "experiment": "wehe"}),
    TargetFile("bmc-targets/bmc_e2e.json", "machines", 0, {"service": "bmc_e2e"}, "d", physical=True),
    TargetFile("switch-monitoring-targets/switch-monitoring.json", "switches", 0, {"service": "switch-monitoring"}),
)
"""All but `ndt5_client`, whose script is gone: its targets answered every probe with nothing, and looked healthy."""


def contents(derived: Derived, project: str, domain: str) -> dict[str, str]:
    """The text of every target file of a project, by its path; a file without targets is an empty array."""
    machines = derived.machines_of(project)
    by_experiment: dict[str, list[ExperimentHost]] = {}
    wanted = {file.of for file in FILES}
    for host in derived.experiments_of(project):
        if host.experiment in wanted:
            by_experiment.setdefault(host.experiment, []).append(host)
    site_name = _SWITCH_SITES[project == SANDBOX]
    switches = [switch for switch in derived.switches if site_name.fullmatch(switch.site)]
    made = {}
    for file in FILES:
        records: Iterable[tuple[str, dict[str, str]]]
        if file.of == "switches":
            records = ((switch.hostname, {"site": switch.site}) for switch in switches)
        elif file.of == "machines":
            records = _machines(file, machines, domain)
        else:
            records = _experiments(file, by_experiment.get(file.of, ()), domain)
        made[file.path] = _text(file, records)
    return made


def _machines(file: TargetFile, machines: Iterable[Machine], domain: str) -> Iterator[tuple[str, dict[str, str]]]:
    for machine in machines:
        if (file.physical and machine.type != "physical") or (file.decoration == "v6" and not machine.ipv6):
            continue
        hostname = names.machine(machine.name, machine.site, machine.project, domain, file.decoration)
        yield hostname, {"machine": machine.hostname, "ipv6": _ipv6(machine.ipv6)}


def _experiments(
    file: TargetFile, hosts: Iterable[ExperimentHost], domain: str
) -> Iterator[tuple[str, dict[str, str]]]:
    for host in hosts:
        if file.decoration == "v6" and not host.ipv6:
            continue
        machine = host.machine
        hostname = host.hostname
        if file.decoration:
            hostname = names.experiment(
                host.experiment, machine.name, machine.site, machine.project, domain, file.decoration
            )
        yield (
            hostname,
            {"experiment": host.experiment, "machine": machine.hostname, "ipv6": _ipv6(host.ipv6)},
        )


def _ipv6(address: str) -> Literal["present", "missing"]:
    return "present" if address else "missing"


def _text(file: TargetFile, records: Iterable[tuple[str, dict[str, str]]]) -> str:
    """One record a line, sorted by target, so that a change of one site reads as such in a diff."""
    port = f":{file.port}" if file.port else ""
    lines = [
        json.dumps({"labels": {**labels, **file.labels}, "targets": [hostname + port]}, sort_keys=True)
        for hostname, labels in sorted(records, key=lambda record: record[0])
    ]
    return "[\n" + ",\n".join(lines) + "\n]\n" if lines else "[]\n"
