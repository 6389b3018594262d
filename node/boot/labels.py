"""The labels with which a machine registers as a node, from its name and command line. Pure.

They are the ones that the platform's workloads select by (`mlab/type`, `mlab/site`, …). A kubelet may give them to its
own node under NodeRestriction, because none lies in a namespace of Kubernetes. A changed label needs a new
registration.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Mapping

from node.boot.errors import Usage

_NAME = re.compile(r"(mlab[1-9])-(([a-z]{3})[0-9tc]{2})(\..+)?")
_VALUE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
SWITCHED_PREFIXES, LONE_PREFIXES = (26,), (28, 29)
"""In a /26 the switch is ours as well; sites with smaller networks have the machine alone."""


def of(kargs: Mapping[str, str], donated: Collection[str]) -> dict[str, str]:
    """Labels of a physical machine. Raises `Usage` where name or project are missing or not of their form."""
    name, project = kargs.get("epoxy.hostname", ""), kargs.get("epoxy.project", "")
    match = _NAME.fullmatch(name)
    if match is None:
        raise Usage(f"epoxy.hostname={name}: must be MACHINE-SITE.DOMAIN, such as mlab1-lga05.mlab-oti.example.test")
    if not _VALUE.fullmatch(project):
        raise Usage(f"epoxy.project={project}: cannot be the value of a label")
    return {
        "mlab/machine": match[1],
        "mlab/site": match[2],
        "mlab/metro": match[3],
        "mlab/type": "physical",
        "mlab/project": project,
        "mlab/ndt-version": "production",
        "mlab/managed": managed(kargs).replace(",", "-"),
        "mlab/donated": "true" if match[2] in donated else "false",
    }


def managed(kargs: Mapping[str, str]) -> str:
    """What of the site is ours, as programs read it in `/var/local/metadata/managed`."""
    try:
        length = ipaddress.IPv4Interface(kargs.get("epoxy.ipv4", "").partition(",")[0]).network.prefixlen
    except ValueError:
        return "unknown"
    if length in SWITCHED_PREFIXES:
        return "switch,machine"
    return "machine" if length in LONE_PREFIXES else "unknown"
