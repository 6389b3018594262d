"""The target files of monitoring, as the public platform has them: which file holds what, under which labels.

Directories, file names and labels are an interface: scrape jobs, Locate, dashboards and rules select by them. The
files are published for whoever fetches them; our own Prometheus gets a corrected selection of them (see
`reconcilers.render.monitoring_targets`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from reconcilers.fleet import inventory_sites, targets
from reconcilers.fleet.memo import OfFleet
from reconcilers.fleet.model import Fleet
from reconcilers.fleet.targets import Record, Selection

SANDBOX = "mlab-sandbox"


@dataclass(frozen=True, slots=True)
class TargetFile:
    """One file: `of` is an experiment's name, or `machines` or `switches`; the selection still lacks the project."""

    path: str
    of: str
    selection: Selection


def _probes(service: str, experiment: str, port: int, module: str) -> Iterator[TargetFile]:
    """An experiment's service over IPv4 and over IPv6."""
    selection = Selection("experiments", (f"{{{{hostname}}}}:{port}",), select=experiment)
    labels4 = {"service": service, "module": module.format("v4")}
    labels6 = {"service": f"{service}_ipv6", "module": module.format("v6")}
    yield TargetFile(f"blackbox-targets/{service}.json", experiment, replace(selection, labels=labels4))
    yield TargetFile(
        f"blackbox-targets-ipv6/{service}_ipv6.json", experiment, replace(selection, labels=labels6, decoration="v6")
    )


_SSH = Selection("machines", ("{{hostname}}:22",), physical=True)
_SCRIPT = Selection("machines", ("{{hostname}}",))
_SWITCH = Selection("sites", ("s1-{{sitename}}.{domain}",), physical=True)

FILES: tuple[TargetFile, ...] = (
    *_probes("ndt7", "ndt.iupui", 443, "tcp_{}_tls_online"),
    *_probes("ndt_raw", "ndt.iupui", 3001, "tcp_{}_online"),
    *_probes("ndt_ssl", "ndt.iupui", 3010, "tcp_{}_tls_online"),
    *_probes("neubot", "neubot.mlab", 80, "tcp_{}_online"),
    *_probes("neubot_tls", "neubot.mlab", 443, "tcp_{}_tls_online"),
    TargetFile(
        "blackbox-targets/ssh.json", "machines", replace(_SSH, labels={"service": "ssh", "module": "ssh_v4_online"})
    ),
    TargetFile(
        "blackbox-targets-ipv6/ssh_ipv6.json",
        "machines",
        replace(_SSH, labels={"service": "ssh", "module": "ssh_v6_online"}, decoration="v6"),
    ),
    TargetFile("blackbox-targets/switches_ping.json", "switches", replace(_SWITCH, labels={"module": "icmp"})),
    *(
        TargetFile(
            f"script-targets/{service}.json",
            "machines",
            replace(_SCRIPT, labels={"service": service, "experiment": experiment}),
        )
        for service, experiment in (("ndt5_client", "ndt.iupui"), ("wehe_client", "wehe"))
    ),
    TargetFile(
        "bmc-targets/bmc_e2e.json",
        "machines",
        Selection("machines", ("{{hostname}}",), {"service": "bmc_e2e"}, decoration="d", physical=True),
    ),
    TargetFile(
        "switch-monitoring-targets/switch-monitoring.json",
        "switches",
        replace(_SWITCH, labels={"service": "switch-monitoring"}),
    ),
)


def contents(fleet: Fleet, project: str, domain: str) -> dict[str, list[Record]]:
    """The records of every file for one project, by path."""
    return _CONTENTS(fleet, (project, domain))


def _contents(fleet: Fleet, key: tuple[str, str]) -> dict[str, list[Record]]:
    sites = inventory_sites.sites(fleet, key[1])
    return {file.path: targets.records(sites, of_project(file, *key)) for file in FILES}


_CONTENTS = OfFleet(_contents)


def of_project(file: TargetFile, project: str, domain: str) -> Selection:
    """The selection of a project. Switches have none: the sandbox watches those of test sites, the others the rest."""
    wanted = file.selection
    if file.of != "switches":
        return replace(wanted, project=project)
    templates = tuple(template.replace("{domain}", domain) for template in wanted.templates)
    return replace(wanted, templates=templates, select="[a-z]{3}[0-9]t" if project == SANDBOX else "[a-z]{3}[0-9]{2}")
