"""`mlab images media`: boot media of single machines, made from the finished ones without building anything anew."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from node.boot import stage1
from node.images import media
from reconcilers.cli import inventory_source
from reconcilers.core.errors import UsageError
from reconcilers.fleet import targets
from reconcilers.render import epoxy

_NETWORK = ("gateway", "dns1", "dns2")


def machines(given: argparse.Namespace) -> tuple[tuple[stage1.Machine, str], ...]:
    """The chosen physical machines, each with the URL of the listener that its iPXE asks. Raises `UsageError`."""
    inventory = inventory_source.inventory(given)
    if inventory.services_domain is None:
        raise UsageError("--sites: a published file does not say where the boot server is; use a checkout")
    selection = targets.Selection("machines", (), project=given.project, physical=True)
    found = tuple(
        (machine(node), server(node, inventory.services_domain))
        for node in targets.nodes(inventory.sites, selection)
        if re.search(given.select, str(node["hostname"]))
    )
    if not found:
        raise UsageError(f"--select {given.select}: no physical machine has such a name")
    return found


def machine(node: Mapping[str, Any]) -> stage1.Machine:
    """A machine as its script needs it, out of a node of `sites.json`."""
    families = {
        key: stage1.Network(f"{node[key]['ip']}/{node[key]['subnet']}", *(node[key][name] for name in _NETWORK))
        for key in ("v4", "v6")
        if node[key]["ip"]
    }
    bmc = node["drac"]["v4"]["ip"] if "drac" in node else ""
    return stage1.Machine(str(node["hostname"]), str(node["project"]), families["v4"], families.get("v6"), bmc=bmc)


def server(node: Mapping[str, Any], services_domain: str) -> str:
    """Where iPXE asks: the boot server's listener for it."""
    return f"https://epoxy-boot-api.{node['project']}.{services_domain}:{epoxy.ROM_PORT}"


def write(base: Path, chosen: tuple[tuple[stage1.Machine, str], ...], out: Path) -> Iterator[Path]:
    """Write script, ISO and USB image of each machine, and yield their paths. Raises `ImageError`."""
    blank = {name: (base / name).read_bytes() for name in (media.ISO, media.USB)}
    for one, url in chosen:
        folder = out / one.hostname
        folder.mkdir(parents=True, exist_ok=True)
        script = stage1.autoexec(one, url)
        (folder / media.SCRIPT).write_text(script)
        for name, image in blank.items():
            (folder / name).write_bytes(media.configured(image, script))
        yield from (folder / name for name in (media.SCRIPT, *blank))
