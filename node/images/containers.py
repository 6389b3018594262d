"""Container images out of trees: an OCI image layout in one archive, which containerd imports and registries take.

Format: the OCI image specification (layout 1.0.0, image manifest v1). A layer is a tar of a tree: sorted, owner 0, one
time, uncompressed, so that its digest depends on nothing but the files.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from node.images.tree import Tree

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


@dataclass(frozen=True, slots=True)
class Image:
    """What runs in a container: its reference (`repository:tag`), layers from the bottom up, and its first process."""

    reference: str
    layers: Sequence[Tree]
    command: tuple[str, ...]
    user: str = "65534:65534"
    environment: Mapping[str, str] = field(default_factory=dict)


def archive(image: Image, *, time_s: int) -> bytes:
    """The whole layout as a tar."""
    created = datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    tars = [tar(layer, time_s=time_s) for layer in image.layers]
    packed = [gzip.compress(data, 6, mtime=0) for data in tars]
    config = _json(
        {
            "created": created,
            "architecture": "amd64",
            "os": "linux",
            "config": {
                "User": image.user,
                "Env": [f"{key}={value}" for key, value in sorted(image.environment.items())],
                "Entrypoint": list(image.command),
                "WorkingDir": "/",
            },
            "rootfs": {"type": "layers", "diff_ids": [_digest(data) for data in tars]},
            "history": [{"created": created} for _ in tars],
        }
    )
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": _descriptor(_CONFIG, config),
            "layers": [_descriptor(_LAYER, data) for data in packed],
        }
    )
    tag = image.reference.rpartition(":")[2]
    names = {"org.opencontainers.image.ref.name": tag, "io.containerd.image.name": f"docker.io/{image.reference}"}
    index = {"schemaVersion": 2, "manifests": [{**_descriptor(_MANIFEST, manifest), "annotations": names}]}
    layout = Tree()
    layout.file("oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
    layout.file("index.json", _json(index))
    for blob in (config, manifest, *packed):
        layout.file(f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}", blob)
    return tar(layout, time_s=time_s)


def tar(tree: Tree, *, time_s: int) -> bytes:
    """A tree as a tar of the POSIX format."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.USTAR_FORMAT) as writing:
        for path in tree:
            entry = tree.entries[path]
            member = tarfile.TarInfo(path)
            member.mode, member.mtime = entry.permissions, time_s
            if entry.is_folder:
                member.type = tarfile.DIRTYPE
                writing.addfile(member)
            elif entry.is_link:
                member.type, member.linkname = tarfile.SYMTYPE, entry.data.decode()
                writing.addfile(member)
            else:
                member.size = len(entry.data)
                writing.addfile(member, io.BytesIO(entry.data))
    return made.getvalue()


def _descriptor(kind: str, data: bytes) -> dict[str, Any]:
    return {"mediaType": kind, "digest": _digest(data), "size": len(data)}


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _json(document: Any) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
