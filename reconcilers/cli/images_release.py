"""`mlab images release`: the folder of one release for one environment, and the pins that `mlab apply` uploads it by.

With `--env` all that an environment says of itself is taken from the checkout, and the pins are laid over it in the
state folder, where only this checkout sees them; with `--pins` they are printed instead, for `config/images/`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ed25519

from node.boot import actions
from node.images import release
from reconcilers.cli.session import Session, open_session, state_of
from reconcilers.core.errors import UsageError
from reconcilers.fleet.boot_images import DIGEST
from reconcilers.load import overlay

_VERSION = re.compile(r"v[0-9]+\.[0-9]+\.[0-9]+")
_INDENT = "  "


@dataclass(frozen=True, slots=True)
class Place:
    """Where a release goes and what its documents say. `env` is empty without an environment."""

    folder: Path
    storage_url: str
    cluster: actions.Cluster
    env: str = ""


def place(given: argparse.Namespace) -> Place:
    """What was asked for, the rest out of the environment. Raises `UsageError` or `ConfigError`."""
    if not _VERSION.fullmatch(given.version):
        raise UsageError(f"{given.version}: a release is named like v2.1.10")
    session = open_session(given) if given.env else None
    storage_url = given.storage_url or (_storage_url(session, given.env) if session else "")
    if not storage_url.startswith("https://"):
        raise UsageError(f"--storage-url {storage_url}: must be the https URL of the boot server's /v1/storage")
    out = given.out or (str(state_of(given) / "images" / given.env) if given.env else "")
    authority = given.cluster_ca or (str(_platform_authority(given)) if given.env else "")
    if missing := [name for name, value in (("--out", out), ("--cluster-ca", authority)) if not value]:
        raise UsageError(f"{missing[0]} is needed, or --env with an environment that it is taken from")
    donated = sorted(site.name for site in session.fleet.sites.values() if site.donated) if session else []
    cluster = actions.Cluster(read(authority), actions.kubelet(), donated)
    return Place(Path(out).resolve() / given.version / release.FOLDER, storage_url, cluster, given.env or "")


def write(given: argparse.Namespace, where: Place, images: Mapping[str, bytes], key: ed25519.Ed25519PrivateKey) -> None:
    """The folder, and its pins unless they are to be printed."""
    authorities = read(given.ca) if given.ca else None
    files = release.assemble(
        images, where.storage_url, where.cluster, authorities=authorities, kernel_words=given.kernel_words
    )
    release.write(where.folder, files, key)
    if where.env and not given.pins:
        _lay(state_of(given) / overlay.IMAGES, given.version, where)


def pins(version: str, where: Place) -> str:
    """What is written into `config/images/` of a release: digests of all its files."""
    found = _digests(where.folder)
    everywhere = {name: found[name] for name in actions.IMAGES}
    own = {name: digest for name, digest in found.items() if name not in everywhere}
    lines = [
        f"# config/images/{where.folder.name}.yaml",
        "releases:",
        f"{_INDENT}{version}:",
        f"{_INDENT * 2}built: {datetime.now(UTC).date()}",
        f"{_INDENT * 2}files:",
        *(f'{_INDENT * 3}{name}: "{digest}"' for name, digest in everywhere.items()),
        f"{_INDENT * 2}environments:",
        f"{_INDENT * 3}{where.env}:",
        *(f'{_INDENT * 4}{name}: "{digest}"' for name, digest in own.items()),
    ]
    return "\n".join(lines)


def read(path: str) -> bytes:
    """A file that was named. Raises `UsageError`."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None


def _storage_url(session: Session, env: str) -> str:
    (environment,) = session.environments([env])
    return f"https://epoxy-boot-api.{environment.project}.{environment.services_domain}/v1/storage"


def _platform_authority(given: argparse.Namespace) -> Path:
    """The cluster's authority on this machine. Raises `UsageError` where no platform runs."""
    path: Path = state_of(given) / "platform" / str(given.env) / "pki" / "ca.crt"
    if not path.is_file():
        raise UsageError(f"--cluster-ca is needed: no platform of {given.env} runs here (`mlab up --env {given.env}`)")
    return path


def _digests(folder: Path) -> dict[str, str]:
    return {path.name: DIGEST + hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def _lay(path: Path, version: str, where: Place) -> None:
    """Add a release to those that this checkout has beside the committed ones."""
    document: dict[str, Any] = dict(overlay.read([path]) or {"v": 1, "environments": {}})
    patch = document["environments"].setdefault(where.env, {})
    patch["targets"] = {"buckets": {"images": str(where.folder.parents[1])}}
    patch.setdefault("images", {}).setdefault(version, {})[where.folder.name] = _digests(where.folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}")
    unfinished.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
    unfinished.replace(path)
