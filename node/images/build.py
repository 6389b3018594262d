"""One build, from the wish to a folder with a signed manifest; what was built before is found again by its content.

The key of a build is what goes into it: the list of packages, the sources of our programs and of this builder, the
programs that are built elsewhere (the kubelet), the time that is written into files. The same key gives the same bytes;
so a finished build is only copied. `SOURCE_DATE_EPOCH` sets the time.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ed25519

from node.images import cache, manifest, media, packages, programs, stage2, stage3, wheels
from node.images.errors import ImageError
from node.images.packages import Resolved, Wanted
from node.images.progress import Progress

SOURCE = Path(__file__).parents[2]
"""The folder that holds our top package."""
# 2026-01-01: FAT knows no time before 1980, and a clock that is reset never goes before the files.
DEFAULT_TIME_S = 1_767_225_600
KUBELET = "kubelet"
KEPT = 4
"""Finished builds of a target that stay in the cache."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a build takes: the files of its packages, our sources, programs built elsewhere, the time in files."""

    files: Mapping[str, Path]
    source: Path
    built: Mapping[str, Path]
    time_s: int


@dataclass(frozen=True, slots=True)
class Target:
    """One kind of build. `needs` names the programs that are built elsewhere, `sources` what of ours goes in.

    `stamp` says what the files tell of the sources' history, where they do.
    """

    wanted: Sequence[Wanted]
    make: Callable[[Inputs], dict[str, bytes]]
    needs: tuple[str, ...] = ()
    sources: tuple[str, ...] = ("node/boot", "node/images")
    stamp: Callable[[Path], str] = lambda _: ""


def _stage2(inputs: Inputs) -> dict[str, bytes]:
    return stage2.build(inputs.files, inputs.source, time_s=inputs.time_s)


def _stage3(inputs: Inputs) -> dict[str, bytes]:
    carried = programs.small(inputs.files, time_s=inputs.time_s)
    kubelet = inputs.built[KUBELET].read_bytes()
    return stage3.build(inputs.files, inputs.source, kubelet, carried, time_s=inputs.time_s)


def _media(inputs: Inputs) -> dict[str, bytes]:
    return media.build(inputs.files, time_s=inputs.time_s)


def _oci(inputs: Inputs) -> dict[str, bytes]:
    return programs.build(inputs.files, inputs.source, time_s=inputs.time_s)


TARGETS: Mapping[str, Target] = {
    "stage2": Target(stage2.WANTED, _stage2),
    "stage3": Target(stage3.WANTED, _stage3, (KUBELET,), sources=("node/boot", "node/cni", "node/images")),
    "boot-media": Target(media.WANTED, _media),
    "oci": Target(
        programs.WANTED,
        _oci,
        sources=("node", "services", "reconcilers", "schemas", "jsonnet", wheels.LOCK, "pyproject.toml"),
        stamp=programs.stamp,
    ),
}


@dataclass(frozen=True, slots=True)
class Order:
    """How to build. `refresh` resolves packages anew, `anew` builds although the cache has it."""

    key: ed25519.Ed25519PrivateKey
    built: Mapping[str, Path]
    refresh: bool = False
    anew: bool = False
    source: Path = SOURCE


def build(name: str, order: Order, progress: Progress) -> Path:
    """The folder in the cache with the finished build of a target. Raises `ImageError`."""
    target = TARGETS[name]
    resolved = packages.resolve(target.wanted, progress, refresh=order.refresh)
    time_s = _time_s()
    folder = cache.folder("built") / f"{name}-{_key(name, order, resolved, time_s)}"
    with cache.turn(folder.name):
        if order.anew or not _finished(folder, order.key):
            files = packages.fetch(resolved, progress)
            progress.say(f"{name}: building from {len(resolved.packages)} packages")
            made = target.make(Inputs(files, order.source, order.built, time_s))
            _keep(folder, name, made, resolved, order.key)
            _forget(name)
    size_mb = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    progress.advance(f"{name}: {size_mb:.0f} MB in {folder}")
    return folder


def copy(folder: Path, out: Path) -> tuple[Path, ...]:
    """Copy a finished build into a folder, the manifest last: it stands for a whole build."""
    out.mkdir(parents=True, exist_ok=True)
    last = (manifest.SIGNATURE, manifest.NAME)
    names = sorted((path.name for path in folder.iterdir()), key=lambda name: (name in last, name))
    for name in names:
        unfinished = out / f".{name}"
        shutil.copyfile(folder / name, unfinished)
        unfinished.replace(out / name)
    return tuple(out / name for name in names)


def _keep(
    folder: Path, name: str, made: Mapping[str, bytes], resolved: Resolved, key: ed25519.Ed25519PrivateKey
) -> None:
    folder.mkdir(exist_ok=True)
    for file, data in made.items():
        cache.write(folder / file, data)
    document = manifest.describe(name, made, resolved, key)
    cache.write(folder / manifest.SIGNATURE, manifest.sign(document, key))
    cache.write(folder / manifest.NAME, document)


def _forget(name: str) -> None:
    """Remove the oldest builds of a target: each is as good as gone once its sources or packages moved on."""
    builds = sorted(cache.folder("built").glob(f"{name}-*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in builds[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)


def _finished(folder: Path, key: ed25519.Ed25519PrivateKey) -> bool:
    """Whether a build is there, whole, and signed with this very key."""
    if not (folder / manifest.NAME).is_file():
        return False
    try:
        manifest.verify(folder, key.public_key())
    except ImageError:
        return False
    return True


def _key(name: str, order: Order, resolved: Resolved, time_s: int) -> str:
    found = hashlib.sha256(f"{name}\n{resolved.digest}\n{time_s}\n".encode())
    found.update(TARGETS[name].stamp(order.source).encode())
    roots = [order.source / name for name in TARGETS[name].sources]
    for path in sorted(path for root in roots for path in (root, *root.rglob("*"))):
        if path.is_file() and "__pycache__" not in path.parts:
            found.update(f"{path.relative_to(order.source)}\n".encode() + path.read_bytes())
    for program in TARGETS[name].needs:
        found.update(order.built[program].read_bytes())
    return found.hexdigest()[:16]


def _time_s() -> int:
    text = os.environ.get("SOURCE_DATE_EPOCH", str(DEFAULT_TIME_S))
    if not (text.isascii() and text.isdecimal() and 315_532_800 <= int(text) < 1 << 32):
        raise ImageError(f"SOURCE_DATE_EPOCH={text}: must be a time from 1980 on, in seconds since 1970")
    return int(text)
