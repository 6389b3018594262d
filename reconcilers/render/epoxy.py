"""Host records of the boot service: one for each machine of the environment's project.

A record says which address may ask to boot as that machine, from where each stage comes, and which release of the
images is meant. All URLs go through the boot service's own storage proxy, under the environment's domain: the original
named a public storage host for the later stages, so that a domain of one's own was not enough to keep boots at home.
Port 4430 is the listener with the private certificate that is burnt into the machines' ROM.

A retired site's records stay, marked as retired, until its file says `boot_records: removed`: a machine that is still
powered on asks for its boot and is refused by name, instead of being unknown.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from reconcilers.core.model import Id, Resource, Span
from reconcilers.fleet import derive
from reconcilers.fleet.model import PUBLISHED_STATES, Environment, Fleet, Site

KIND = "Host"
ROM_PORT = 4430
_VERSION = "{{VERSION}}"


def resources(fleet: Fleet, environment: Environment) -> tuple[Resource, ...]:
    """The records of one environment, by host name."""
    found = _hosts(fleet, environment)
    return tuple(sorted(found, key=lambda resource: resource.id))


def _hosts(fleet: Fleet, environment: Environment) -> Iterator[Resource]:
    boot = sequence(environment, "stage3_ubuntu", "stage3post")
    update = sequence(environment, "stage3_update", "stage3post_mlx")
    version = str(environment.data["images_version"])
    for site in fleet.sites.values():
        retired = site.lifecycle.state not in PUBLISHED_STATES
        if retired and not _keeps_records(site):
            continue
        for machine in derive.site_machines(site, environment.domain):
            if machine.project != environment.project:
                continue
            spec: dict[str, Any] = {
                "Name": machine.hostname,
                "IPv4Addr": machine.ipv4,
                "Boot": boot,
                "Update": update,
                "ImagesVersion": version,
                "Extensions": list(extensions(machine)),
                "Retired": retired,
            }
            yield Resource(Id(KIND, machine.hostname), spec, _cause(site, machine, retired=retired))


def _keeps_records(site: Site) -> bool:
    return site.lifecycle.state == "retired" and site.lifecycle.boot_records == "kept"


def _cause(site: Site, machine: derive.Machine, *, retired: bool) -> Span:
    """The line to look at: the machine's own, or the state that retired it."""
    return site.spans.get("lifecycle.state", machine.span) if retired else machine.span


def extensions(machine: derive.Machine) -> tuple[str, ...]:
    """The operations whose URLs a machine is told: to join the cluster and, with a BMC, to store its password."""
    return ("allocate_k8s_token", "bmc_store_password") if machine.bmc else ("allocate_k8s_token",)


def sequence(environment: Environment, image: str, last: str) -> dict[str, str]:
    """The URL of each stage of one boot sequence; `image` is its folder in the bucket, `last` its final document."""
    host = f"epoxy-boot-api.{environment.project}.{environment.services_domain}"
    folder = f"v1/storage/{_VERSION}/{image}"
    return {
        "stage1.ipxe": f"https://{host}:{ROM_PORT}/{folder}/stage1to2.ipxe",
        "stage1.json": f"https://{host}/{folder}/stage1to2.json",
        "stage2": f"https://{host}/{folder}/stage2to3.json",
        "stage3": f"https://{host}/{folder}/{last}.json",
    }
