"""Releases of boot images as objects of the boot bucket, which the boot server's storage proxy serves.

Their content is too large to hold: a resource has its SHA-256 and says where the file lies on the machine that applies,
if it is there. The signed manifest depends on all that it names, so a release that is not whole has none, and the boot
server gives nothing of it out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from reconcilers.core.model import Id, Resource
from reconcilers.fleet import boot_images, published
from reconcilers.fleet.boot_images import Folder
from reconcilers.fleet.model import Environment, Fleet

OBJECT = "Object"
CACHE_CONTROL = "private, max-age=0, no-transform"
CONTENT_TYPE = "application/octet-stream"
_LAST = (boot_images.SIGNATURE, boot_images.MANIFEST)


def resources(fleet: Fleet, environment: Environment, buckets: frozenset[Id]) -> Iterator[Resource]:
    """The objects of one environment; none where it has no boot bucket of ours."""
    bucket = published.fill(boot_images.BUCKET, environment.project)
    home = frozenset({Id("Bucket", bucket)})
    if not home <= buckets:
        return
    base = environment.data["targets"]["buckets"].get("images")
    for folder in boot_images.folders(fleet, environment):
        files = frozenset(_id(bucket, folder, name) for name in folder.sha256 if name not in _LAST)
        for name, digest in sorted(folder.sha256.items()):
            spec: dict[str, Any] = {
                "bucket": bucket,
                "name": f"{folder.path}/{name}",
                "contentType": CONTENT_TYPE,
                "cacheControl": CACHE_CONTROL,
                "sha256": digest,
            }
            yield Resource(
                _id(bucket, folder, name),
                spec,
                folder.span,
                deps=home | (files if name in _LAST else frozenset()),
                exact=name in _LAST,
                content=f"{base}/{folder.path}/{name}" if base else NOWHERE,
            )


NOWHERE = "/nonexistent"
"""Where the file of a release is sought on a machine that has none."""


def _id(bucket: str, folder: Folder, name: str) -> Id:
    return Id(OBJECT, f"{bucket}/{folder.path}/{name}")
