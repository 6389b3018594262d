"""What a configuration needs besides sites: environments, experiments and the rest, where the destination has none.

An inventory knows sites and a list of experiments, and nothing of what runs on machines, of alerts or of targets. So a
destination that lacks a folder of config/ gets it from the program's own checkout, with the inventory's domain. The
names of buckets and projects are then those that the inventory's owner uses, so every target of such an environment is
paused, and the addresses of targets end in `.test`: nothing is contacted before somebody says so. What is there already
is never touched. Experiments that only the inventory knows become files that reserve name and index.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import reconcilers
from reconcilers.core.errors import ConfigError
from reconcilers.fleet.derive import Entry, entries
from reconcilers.fleet.model import Fleet
from reconcilers.importing.inventory import Inventory
from reconcilers.load.source_files import FOLDERS

OWN = Path(reconcilers.__file__).parents[1] / "config"
NOT_COPIED = ("sites", "acks")
"""Sites are the inventory's; acknowledgements are permissions of one fleet for one occasion."""
_DOMAIN = re.compile(r"^domain: (\S+)$", re.MULTILINE)
_ZONES = re.compile(r"^ +zones: \[.*\]$", re.MULTILINE)
_MODES = re.compile(r"^modes: \{.*\}$", re.MULTILINE)


def folders(into: Path, domain: str) -> Mapping[str, Mapping[str, bytes]]:
    """The folders of config/ that the destination lacks, each with its files by path from the root."""
    found: dict[str, Mapping[str, bytes]] = {}
    for folder in FOLDERS:
        here = into / "config" / folder
        if folder in NOT_COPIED or any(here.glob("*.yaml")):
            continue
        if not OWN.is_dir():
            raise ConfigError(
                f"{here} has no file and {OWN} is not there to begin from; give --into a whole repository"
            )
        files = {f"config/{folder}/{path.name}": path.read_bytes() for path in sorted((OWN / folder).glob("*.yaml"))}
        if folder == "environments":
            files = {name: _environment(data.decode(), domain).encode() for name, data in files.items()}
        if files:
            found[folder] = files
    return found


def _environment(text: str, domain: str) -> str:
    """One of our environments under another domain, with nothing switched on. Edited as text: comments stay."""
    own = _DOMAIN.search(text)
    if own is None or not _MODES.search(text):
        raise ConfigError(f"{OWN}/environments has no line of domain or of modes to begin from; it was edited")
    text = _DOMAIN.sub(f"domain: {domain}", text)
    text = _ZONES.sub(lambda found: found[0].replace(own[1], domain), text)
    return _MODES.sub(lambda found: re.sub(r": (apply|plan)\b", ": paused", found[0]), text)


@dataclass(frozen=True, slots=True)
class Slot:
    """An experiment of the inventory: the first name of its index, the others as aliases, its place in the list."""

    name: str
    aliases: tuple[str, ...]
    index: int
    cloud: bool
    ipv6: bool
    position: int


def unknown(listed: Sequence[Entry], known: Mapping[str, int]) -> tuple[Slot, ...]:
    """The inventory's experiments of which the destination has no name; `known` gives the places of those that it has.

    Each comes behind the one that it follows in the inventory, so that the order stays that of the inventory.
    """
    groups: dict[int, list[Entry]] = {}
    for entry in listed:
        groups.setdefault(entry.index, []).append(entry)
    found: list[Slot] = []
    place = 0
    for index, group in groups.items():
        names = [entry.name for entry in group]
        places = [known[name] for name in names if name in known]
        place = places[0] if places else place + 1
        if not places:
            found.append(Slot(names[0], tuple(names[1:]), index, group[0].cloud, group[0].ipv6, place))
    return tuple(found)


def reserved(slot: Slot) -> dict[str, Any]:
    """An experiment that holds its name and index, with nothing behind them."""
    return {
        "kind": "Experiment",
        "name": slot.name,
        "description": "Imported; its names are published, and nothing of ours runs behind them yet.",
        "position": slot.position,
        "index": slot.index,
        "aliases": list(slot.aliases),
        "cloud": slot.cloud,
        "ipv6": slot.ipv6,
        "projects": [],
        "placements": [],
        "anonymize": "none",
        "datatypes": {"archived": [], "autoloaded": []},
        "sidecars": {"measurement": False, "heartbeat": False, "revtr": False, "access": False},
        "rollout": {"maxUnavailable": "2%", "graceSeconds": 100},
    }


def differences(inventory: Inventory, fleet: Fleet) -> Iterator[str]:
    """Where the configuration would publish other names or addresses than the inventory does."""
    ours = {entry.name: (place, entry) for place, entry in enumerate(entries(fleet.experiments.values()))}
    theirs = {entry.name: (place, entry) for place, entry in enumerate(inventory.experiments)}
    for name, (_, entry) in theirs.items():
        own = ours.get(name)
        if own is None:
            yield f"experiment {name} (index {entry.index}) is in no file of config/experiments"
        elif own[1] != entry:
            yield f"experiment {name} is {_said(own[1])} in config/experiments, {_said(entry)} in the inventory"
    for name in sorted(ours.keys() - theirs.keys()):
        yield f"experiment {name} is in config/experiments, not in the inventory; its names are published all the same"
    shared = [name for name in ours if name in theirs]
    if shared != [name for name in theirs if name in ours]:
        yield f"the order of experiments is {', '.join(shared)}; the inventory's is {', '.join(theirs)}"
    for environment in fleet.environments.values():
        if environment.domain != inventory.domain:
            yield (
                f"environment {environment.name} has domain {environment.domain}, the inventory's hosts are below "
                f"{inventory.domain}; set `domain`, or every name changes"
            )


def _said(entry: Entry) -> str:
    return f"index {entry.index}, {'in' if entry.cloud else 'not in'} the cloud, IPv6 {'on' if entry.ipv6 else 'off'}"
