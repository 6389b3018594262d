"""Ways to break the small fleet, one step each; a `Case` says which problems must follow, and no others."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests import fleets

SITE = "config/sites/lga05.yaml"
TEST_SITE = "config/sites/lga1t.yaml"
VIRTUAL = "config/sites/dfw09.yaml"
NDT = "config/experiments/ndt.yaml"
WEHE = "config/experiments/wehe.yaml"
SANDBOX = "config/environments/sandbox.yaml"
ALERTS = "config/alerts/workloads.yaml"
EMBARGO = "config/embargo/replay-year.yaml"


class Case(NamedTuple):
    """A broken configuration: what to do to the small fleet, and the problems (place, code, words) that follow."""

    name: str
    breaks: Callable[[Path], object]
    problems: tuple[tuple[str, str, str], ...]


def change(path: str, old: str, new: str) -> Callable[[Path], object]:
    return lambda root: fleets.edit(root, path, old, new)


def write(path: str, data: str | bytes) -> Callable[[Path], object]:
    def do(root: Path) -> None:
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data if isinstance(data, bytes) else data.encode())

    return do


def prepend(path: str, data: bytes) -> Callable[[Path], object]:
    return lambda root: (root / path).write_bytes(data + (root / path).read_bytes())


def link(path: str, target: str) -> Callable[[Path], object]:
    def do(root: Path) -> None:
        (root / path).unlink(missing_ok=True)
        (root / path).symlink_to(target)

    return do


def both(*steps: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda root: [step(root) for step in steps]


def fifo(path: str) -> Callable[[Path], object]:
    return lambda root: os.mkfifo(root / path)


def folder(path: str) -> Callable[[Path], object]:
    return lambda root: (root / path).mkdir()


def remove(path: str) -> Callable[[Path], object]:
    def do(root: Path) -> None:
        for item in sorted((root / path).rglob("*"), reverse=True):
            item.rmdir() if item.is_dir() else item.unlink()
        (root / path).rmdir()

    return do


def case(name: str, breaks: Callable[[Path], object], *problems: tuple[str, str, str]) -> Case:
    return Case(name, breaks, problems)


def copy_site(name: str, *edits: tuple[str, str]) -> Callable[[Path], object]:
    """A second full site, on the next free prefixes unless the edits say otherwise."""

    def do(root: Path) -> None:
        text = fleets.FILES[SITE].replace("lga05", name).replace("198.18.0.0/26", "198.18.0.64/26")
        text = text.replace("2001:db8:0:14::/64", "2001:db8:0:15::/64").replace("2019-01-01", "2020-06-30")
        for old, new in edits:
            assert old in text
            text = text.replace(old, new)
        (root / f"config/sites/{name}.yaml").write_text(text)

    return do
