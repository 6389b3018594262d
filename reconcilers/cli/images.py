"""`mlab images`: builds what nodes boot and run, and puts a release of it together for one environment."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ed25519

from node.boot import actions
from node.images import build, manifest
from node.images.errors import ImageError
from reconcilers.cli import images_media, images_release
from reconcilers.cli.exits import Exit
from reconcilers.core.errors import Temporary, UsageError
from services.local import programs, progress
from services.local.errors import PlatformError
from services.local.interrupts import Interrupts


def run(given: argparse.Namespace) -> int:
    """A line for each file on stdout."""
    Interrupts()
    return {"build": _build, "release": _release, "media": _media}[given.action](given)


def _build(given: argparse.Namespace) -> int:
    """Build the targets that are asked for, all by default."""
    names = given.targets or list(build.TARGETS)
    if unknown := [name for name in names if name not in build.TARGETS]:
        raise UsageError(f"{unknown[0]}: no such image; there are {', '.join(build.TARGETS)}")
    with _failures():
        key = _key(given)
        folders = _built(given, names, key)
        if given.out:
            folders = {name: _copied(folder, Path(given.out).resolve() / name) for name, folder in folders.items()}
        return _print(given, folders, key)


def _release(given: argparse.Namespace) -> int:
    """Write the folder of one release, as it goes into the bucket that the boot server's storage proxy serves."""
    if given.pins and not given.env:
        raise UsageError("--pins is of one environment: name it with --env")
    where = images_release.place(given)
    with _failures():
        key = _key(given)
        folders = _built(given, ["stage2", "stage3"], key)
        paths = (folder / name for folder in folders.values() for name in actions.IMAGES)
        images_release.write(given, where, {path.name: path.read_bytes() for path in paths if path.is_file()}, key)
        if given.pins:
            print(images_release.pins(given.version, where))
            return Exit.OK
        return _print(given, {"release": where.folder}, key)


def _media(given: argparse.Namespace) -> int:
    """Write the boot media of single machines."""
    chosen = images_media.machines(given)
    with _failures():
        base = _built(given, ["boot-media"], _key(given))["boot-media"]
        made = [str(path) for path in images_media.write(base, chosen, Path(given.out).resolve())]
    print(json.dumps(made) if given.json else "\n".join(made))
    return Exit.OK


def _key(given: argparse.Namespace) -> ed25519.Ed25519PrivateKey:
    return manifest.private_key(Path(given.key) if given.key else None)


def _built(given: argparse.Namespace, names: list[str], key: ed25519.Ed25519PrivateKey) -> dict[str, Path]:
    said = progress.to(sys.stderr)
    needed = sorted({need for name in names for need in build.TARGETS[name].needs})
    built = programs.build(needed, said) if needed else {}
    order = build.Order(key, built, refresh=given.refresh, anew=given.anew)
    said.begin(f"building {', '.join(names)}", len(names))
    return {name: build.build(name, order, said) for name in names}


def _copied(folder: Path, out: Path) -> Path:
    build.copy(folder, out)
    return out


def _print(given: argparse.Namespace, folders: dict[str, Path], key: ed25519.Ed25519PrivateKey) -> int:
    """What was made, read back and verified."""
    files = {name: manifest.verify(folder, key.public_key()) for name, folder in folders.items()}
    if given.json:
        document = {
            "signed_by": manifest.fingerprint(key.public_key()),
            "targets": {
                name: {"folder": str(folders[name]), "files": [asdict(file) for file in found]}
                for name, found in files.items()
            },
        }
        print(json.dumps(document, indent=1))
        return Exit.OK
    for name, found in files.items():
        for file in found:
            print(f"{folders[name] / file.name}  {file.size_bytes} bytes  sha256:{file.sha256}")
    return Exit.OK


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except (ImageError, PlatformError) as error:
        raise Temporary(str(error)) from None
