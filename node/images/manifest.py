"""What a build made, signed: each file with its size and SHA-256, and every package that went in.

The manifest is JSON with sorted keys, so that the same build gives the same bytes. The signature lies beside it: raw
Ed25519 over the manifest's bytes, in base64. Without a key of the operator's, this machine's own is made once: good
for finding out that a file was changed here, worth nothing to anybody else, and the manifest shows which one it was.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from node.images import cache
from node.images.errors import ImageError
from node.images.packages import Resolved

NAME, SIGNATURE = "manifest.json", "manifest.json.sig"


@dataclass(frozen=True, slots=True)
class File:
    """One file of a build."""

    name: str
    size_bytes: int
    sha256: str


def describe(target: str, files: Mapping[str, bytes], resolved: Resolved, key: ed25519.Ed25519PrivateKey) -> bytes:
    """The manifest of a build."""
    document: dict[str, Any] = {
        "v": 1,
        "target": target,
        "files": [asdict(File(name, len(data), _sha256(data))) for name, data in sorted(files.items())],
        "packages": [asdict(package) for package in resolved.packages],
        "signed_by": fingerprint(key.public_key()),
    }
    return json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"


def sign(manifest: bytes, key: ed25519.Ed25519PrivateKey) -> bytes:
    """The content of the file beside the manifest."""
    return base64.b64encode(key.sign(manifest)) + b"\n"


def verify(folder: Path, key: ed25519.Ed25519PublicKey) -> tuple[File, ...]:
    """Check a build's signature and every file of it. Raises `ImageError` naming what is not as it was signed."""
    content = (folder / NAME).read_bytes()
    try:
        key.verify(base64.b64decode((folder / SIGNATURE).read_bytes()), content)
    except (InvalidSignature, ValueError):
        raise ImageError(f"{folder / NAME}: not signed by {fingerprint(key)}") from None
    files = tuple(File(**item) for item in json.loads(content)["files"])
    for file in files:
        place = folder / file.name
        if not place.is_file() or _sha256(place.read_bytes()) != file.sha256:
            raise ImageError(f"{place}: missing, or its SHA-256 is not {file.sha256} as the manifest says")
    return files


def private_key(path: Path | None) -> ed25519.Ed25519PrivateKey:
    """The operator's key (PEM, Ed25519), or this machine's. Raises `ImageError`."""
    if path is None:
        path = cache.folder("keys") / "signing.pem"
        with cache.turn("key"):
            if not path.exists():
                _make(path)
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise ImageError(f"{path}: no private key in PEM form that can be read: {error}") from None
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise ImageError(f"{path}: not an Ed25519 key; make one with `openssl genpkey -algorithm ed25519`")
    return key


def fingerprint(key: ed25519.Ed25519PublicKey) -> str:
    """The public key by its SHA-256, as people compare it."""
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return f"ed25519:{_sha256(raw)[:32]}"


def _make(path: Path) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(text)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
