"""Node objects out of published files: what a machine's kubelet would say of itself when it registers. Pure.

Labels are those of the platform cluster. `machines.json` says which machines a project has, `registration.json` where
they are; whether a site's transit is donated and whether it has a switch of ours is in `sites.json` alone, so until
that file is there the two labels read `false` and `unknown`, as they do on a machine that could not look them up.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from services.local import programs

NODE_SELECTOR = {"type": "kwok"}
CAPACITY = {
    "physical": {"cpu": "32", "memory": "128Gi", "ephemeral-storage": "800Gi", "pods": "110"},
    "virtual": {"cpu": "4", "memory": "16Gi", "ephemeral-storage": "100Gi", "pods": "110"},
}


def wanted(
    machines: Sequence[Mapping[str, Any]],
    registration: Mapping[str, Mapping[str, Any]],
    sites: Sequence[Mapping[str, Any]],
    project: str,
) -> dict[str, dict[str, Any]]:
    """A Node for each machine of the project, by name. A machine that is not registered yet is left out."""
    by_name = {site["name"]: site for site in sites}
    found = {}
    for machine in machines:
        name = machine["hostname"]
        entry = registration.get(name)
        if machine["project"] == project and entry is not None:
            found[name] = node(machine, entry, by_name.get(entry["Site"]))
    return found


def labels(machine: Mapping[str, Any], entry: Mapping[str, Any], site: Mapping[str, Any] | None) -> dict[str, str]:
    """The labels of one machine's node; no label where the platform sets none for that type of machine."""
    kind = str(machine["type"])
    found = {
        **NODE_SELECTOR,
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": str(machine["hostname"]),
        "kubernetes.io/os": "linux",
        "mlab/type": kind,
        "mlab/machine": str(entry["Machine"]),
        "mlab/site": str(entry["Site"]),
        "mlab/metro": str(entry["Metro"]),
        "mlab/project": str(machine["project"]),
    }
    if kind == "physical":
        found["mlab/ndt-version"] = "production"
        found["mlab/managed"] = _managed(site)
        found["mlab/donated"] = "true" if site is not None and site["annotations"]["donated"] else "false"
    else:
        found["mlab/run"] = "ndt"
    return found


def node(machine: Mapping[str, Any], entry: Mapping[str, Any], site: Mapping[str, Any] | None) -> dict[str, Any]:
    """One Node with its status, as a kubelet posts it; kwok makes it Ready."""
    name = str(machine["hostname"])
    capacity = CAPACITY.get(str(machine["type"]), CAPACITY["virtual"])
    identity = uuid.uuid5(uuid.NAMESPACE_DNS, name)
    addresses = [{"type": "InternalIP", "address": machine["ipv4"]}, {"type": "Hostname", "address": name}]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels(machine, entry, site)},
        "status": {
            "addresses": addresses,
            "allocatable": capacity,
            "capacity": capacity,
            "nodeInfo": {
                "architecture": "amd64",
                "bootID": str(uuid.uuid4()),
                "containerRuntimeVersion": "containerd://1.6.20",
                "kernelVersion": "6.1.0",
                "kubeProxyVersion": "",
                "kubeletVersion": programs.KUBERNETES,
                "machineID": identity.hex,
                "operatingSystem": "linux",
                "osImage": "M-Lab node image",
                "systemUUID": str(identity),
            },
        },
    }


def differing(present: Mapping[str, str], desired: Mapping[str, str]) -> dict[str, str | None]:
    """A merge patch of labels: ours that differ, and `mlab/` ones of ours that shall go. Others are not ours."""
    changed: dict[str, str | None] = {key: value for key, value in desired.items() if present.get(key) != value}
    gone = {key: None for key in present if key in OURS and key not in desired}
    return changed | gone


OURS = frozenset(
    f"mlab/{name}"
    for name in ("type", "machine", "site", "metro", "project", "ndt-version", "managed", "donated", "run")
)


def _managed(site: Mapping[str, Any] | None) -> str:
    if site is None:
        return "unknown"
    return "switch-machine" if site.get("switch") else "machine"
