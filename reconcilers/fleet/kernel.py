"""The kernel command line with which a physical machine boots its first stage, and the variables that templates get.

The boot images of every machine are made from these: which address it takes, whom it asks for the next stage, and
where its baseboard controller is. `epoxy.ip` is the older form of what `epoxy.hostname`, `.interface` and `.ipv4` say;
images in the field read either. Mask and prefix length are the site's own: the original wrote those of a /26 and a
/64 for every site, which is wrong for one site each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconcilers.fleet import inventory_sites
from reconcilers.fleet.model import Fleet

Node = Mapping[str, Any]


def boot_url(hostname: str, project: str, services_domain: str) -> str:
    """Where a machine asks for its first stage."""
    return f"https://epoxy-boot-api.{project}.{services_domain}/v1/boot/{hostname}/stage1.json"


def command_line(node: Node, services_domain: str) -> str:
    """The whole line of one physical machine, given as a node of `sites.json`."""
    v4, v6, name, project = node["v4"], node["v6"], node["hostname"], node["project"]
    servers = f"{v4['dns1']}:{v4['dns2']}"
    ipv6 = f"{v6['ip']}/{v6['subnet']},{v6['gateway']},{v6['dns1']},{v6['dns2']}" if v6["ip"] else ""
    parameters = {
        "net.ifnames": "0",
        "epoxy.project": project,
        "epoxy.ip": f"{v4['ip']}::{v4['gateway']}:{v4['netmask']}:{name}:eth0:false:{servers}",
        "epoxy.hostname": name,
        "epoxy.interface": "eth0",
        "epoxy.ipv4": f"{v4['ip']}/{v4['subnet']},{v4['gateway']},{v4['dns1']},{v4['dns2']}",
        "epoxy.ipv6": ipv6,
        "epoxy.stage1": boot_url(name, project, services_domain),
        "drac.ipv4": node["drac"]["v4"]["ip"],
    }
    return " ".join(f"{key}={value}" for key, value in parameters.items())


def command_lines(fleet: Fleet, domain: str, services_domain: str) -> dict[str, str]:
    """`v2/sites/kernel-parameters.json`: the command line of every physical machine, by FQDN."""
    return {
        node["hostname"]: command_line(node, services_domain)
        for site in inventory_sites.sites(fleet, domain)
        if site["annotations"]["type"] == "physical"
        for node in site["nodes"]
    }


def variables(node: Node, services_domain: str | None, labels: Mapping[str, str]) -> dict[str, str]:
    """What a template of a machine's network configuration may name, as the public platform's tool has it.

    Also `project`, and `kernel_command_line` for a physical machine if the services' domain is known. Without IPv6
    only `ipv6_enabled`, `ipv6_ip` and `ipv6_address` are known, the last two empty; a virtual machine has addresses
    alone, and `drac_ipv4_address` is empty. Labels come last: they may replace any of these.
    """
    made = {"hostname": str(node["hostname"]), "project": str(node["project"])}
    for family, key in (("ipv4", "v4"), ("ipv6", "v6")):
        made.update({f"{family}_{name}": str(value) for name, value in node[key].items()})
        made[f"{family}_address"] = made[f"{family}_ip"]
        made[f"{family}_enabled"] = "true" if made[f"{family}_ip"] else "false"
    made["drac_ipv4_address"] = ""
    if "drac" in node:
        made["drac_ipv4_address"] = node["drac"]["v4"]["ip"]
        if services_domain:
            made["kernel_command_line"] = command_line(node, services_domain)
    return {**made, **labels}
