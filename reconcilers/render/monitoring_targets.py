"""Target files for our own Prometheus: those of the public platform, corrected where they would mislead our rules.

Published copies keep the original's form (`reconcilers.fleet.target_files`). Here an IPv6 file leaves out what has no
IPv6 address: a name without a record cannot be probed, and counted as down it would hide real failures under a looser
threshold. Both families of a probe have a `service` of their own, that of ssh too. Experiments are those with an
address, not the first lines of a list, and each is listed once: the original searches for `neubot.mlab`, which is also
found in `neubot-mlab1-lga05`, and probes the same server twice. `ndt5_client` is gone: its script is, and its targets
answered every probe with nothing and looked healthy.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from reconcilers.fleet import inventory_sites, published, target_files, targets
from reconcilers.fleet.model import Fleet
from reconcilers.fleet.target_files import TargetFile
from reconcilers.fleet.targets import Record

_GONE = "script-targets/ndt5_client.json"
_SSH6 = "blackbox-targets-ipv6/ssh_ipv6.json"


def _corrected(file: TargetFile) -> TargetFile:
    selection = replace(file.selection, only_with_ipv6=file.selection.decoration == "v6")
    if selection.shape == "experiments":
        selection = replace(selection, select="", experiment=file.of)
    if file.path == _SSH6:
        selection = replace(selection, labels={**selection.labels, "service": "ssh_ipv6"})
    return replace(file, selection=selection)


FILES: tuple[TargetFile, ...] = tuple(_corrected(file) for file in target_files.FILES if file.path != _GONE)


def contents(fleet: Fleet, project: str, domain: str) -> dict[str, str]:
    """The text of every target file of a project, by its path; a file without targets is an empty array."""
    sites = inventory_sites.sites(fleet, domain, by_index=True)
    return {file.path: _text(targets.records(sites, target_files.of_project(file, project, domain))) for file in FILES}


def _text(records: Iterable[Record]) -> str:
    """One record a line, sorted by target, so that a change of one site reads as such in a diff."""
    return published.encode(sorted(records, key=lambda record: record["targets"])).decode()
