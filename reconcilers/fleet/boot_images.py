"""Releases of boot images: which files each environment has in its boot bucket, by digest. Pure.

A release is `VERSION/FOLDER/` of the bucket. Kernels and initramfs are the same everywhere; documents, authorities and
the signed manifest are made for one environment. `config/images/` pins both, and an overlay of one checkout may add
releases that it has just built; of the same folder of the same version the overlay's stand alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from reconcilers.core.model import Span
from reconcilers.fleet.model import Environment, Fleet

BUCKET = "epoxy-{project}"
MANIFEST, SIGNATURE = "manifest.json", "manifest.json.sig"
DIGEST = "sha256:"


@dataclass(frozen=True, slots=True)
class Folder:
    """One folder of a release in one environment's bucket; `sha256` by file name, in hexadecimal."""

    version: str
    name: str
    sha256: Mapping[str, str]
    span: Span

    @property
    def path(self) -> str:
        return f"{self.version}/{self.name}"


def folders(fleet: Fleet, environment: Environment) -> tuple[Folder, ...]:
    """All that one environment has, by version and name. What was not built has no digests, and is not there."""
    found = {folder.path: folder for folder in _committed(fleet, environment)}
    for version, release in environment.data.get("images", {}).items():
        for name, files in release.items():
            span = environment.spans.get("images", Span(environment.span.file))
            found[f"{version}/{name}"] = Folder(version, name, _hexadecimal(files), span)
    return tuple(found[path] for path in sorted(found))


def _committed(fleet: Fleet, environment: Environment) -> Iterator[Folder]:
    for image in fleet.images.values():
        for version, release in (image.data.get("releases") or {}).items():
            own = (release.get("environments") or {}).get(environment.name)
            if release["built"] is not None and own is not None:
                span = image.spans.get(f"releases.{version}.environments.{environment.name}", image.span)
                yield Folder(version, image.name, _hexadecimal({**release["files"], **own}), span)


def _hexadecimal(files: Mapping[str, str]) -> dict[str, str]:
    return {name: digest.removeprefix(DIGEST) for name, digest in files.items()}
