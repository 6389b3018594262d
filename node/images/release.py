"""A release: the files of stage 2 and stage 3 with the documents that lead from one to the next, signed as one folder.

`VERSION/stage3_ubuntu/` of the bucket that the boot server's storage proxy serves. What one environment adds (where
its storage is, its cluster's authority, its own TLS authorities) is in the documents and in a small archive behind each
initramfs; the images themselves are the same everywhere.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ed25519

from node.boot import actions
from node.images import cache, cpio, manifest
from node.images.build import DEFAULT_TIME_S
from node.images.packages import Resolved
from node.images.tree import Tree

FOLDER = actions.FOLDER


def settings(authorities: bytes) -> bytes:
    """The archive that makes the authorities of one environment the only ones that its machines trust."""
    tree = Tree()
    tree.file("etc/mlab/ca.pem", authorities)
    return gzip.compress(cpio.archive(tree, time_s=DEFAULT_TIME_S), 9, mtime=0)


def assemble(
    images: Mapping[str, bytes],
    storage_url: str,
    cluster: actions.Cluster,
    *,
    authorities: bytes | None = None,
    kernel_words: str = "",
) -> dict[str, bytes]:
    """All files of the folder by name; `storage_url` is what Linux reaches the storage proxy by.

    Raises ValueError for an image that is missing.
    """
    files = dict(images)
    if authorities is not None:
        files[actions.SETTINGS] = settings(authorities)
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    # Otherwise the kernel prints its command line on the console, where the secret URLs of the boot are.
    words = f"quiet {kernel_words}".rstrip()
    return {**files, **actions.documents(actions.Release(storage_url, hashes, words), cluster)}


def write(folder: Path, files: Mapping[str, bytes], key: ed25519.Ed25519PrivateKey) -> None:
    """Put a release into a folder with its signed manifest, which comes last."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        cache.write(folder / name, data)
    document = manifest.describe("release", files, Resolved(()), key)
    cache.write(folder / manifest.SIGNATURE, manifest.sign(document, key))
    cache.write(folder / manifest.NAME, document)
