"""Signed manifests of the images: what a folder of a release may hold, so that a bucket alone cannot change a boot.

`VERSION/FOLDER/manifest.json` lists `files` with name, size_bytes and sha256; `manifest.json.sig` is an Ed25519
signature of its bytes in base64. With `--manifest-keys` every folder must have one: a boot is begun only at a release
whose manifest verifies, the SHA-256 of each stage's document is pinned at stage1, and no object leaves the storage
proxy that is not as the manifest says. `latest.txt` in the bucket, where there is one, names what `latest` means.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from services.epoxy import objects

NAME, SIGNATURE = "manifest.json", "manifest.json.sig"
LATEST_FILE = "latest.txt"
KEPT_S = 30.0
PROXY = "/v1/storage/"
_VERSION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Untrusted(Exception):
    """There is no manifest, it is not signed by a key of ours, or an object is not as it says."""


@dataclass(frozen=True, slots=True)
class File:
    """One file of a folder."""

    size_bytes: int
    sha256: str


Key = ed25519.Ed25519PublicKey


def keys(path: Path) -> tuple[Key, ...]:
    """The public keys in a PEM file; several while one replaces another. Raises ValueError or OSError."""
    found = []
    for block in re.findall(rb"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", path.read_bytes(), re.DOTALL):
        key = serialization.load_pem_public_key(block)
        if not isinstance(key, Key):
            raise ValueError(f"{path}: a key is not Ed25519; make one with `openssl genpkey -algorithm ed25519`")
        found.append(key)
    if not found:
        raise ValueError(f"{path}: holds no public key in PEM form")
    return tuple(found)


def parse(content: bytes, signature: bytes, trusted: Sequence[Key], where: str) -> Mapping[str, File]:
    """The files of a manifest that one of the keys signed. Raises `Untrusted`."""
    if not any(_signed(content, signature, key) for key in trusted):
        raise Untrusted(f"{where}: not signed by a trusted key")
    try:
        files = {one["name"]: File(int(one["size_bytes"]), str(one["sha256"])) for one in json.loads(content)["files"]}
    except (ValueError, KeyError, TypeError):
        raise Untrusted(f"{where}: signed, but no list of files") from None
    if not all(_SHA256.fullmatch(file.sha256) for file in files.values()):
        raise Untrusted(f"{where}: signed, but a sha256 is not 64 hexadecimal digits")
    return files


class Manifests:
    """The manifests of one bucket, verified once and kept for a short time."""

    def __init__(self, prefix: objects.Prefix, trusted: Sequence[Key]) -> None:
        self._prefix = prefix
        self._trusted = trusted
        self._kept: dict[str, tuple[float, Mapping[str, File]]] = {}

    @property
    def required(self) -> bool:
        return bool(self._trusted)

    async def folder(self, http: aiohttp.ClientSession, folder: str) -> Mapping[str, File]:
        """What a folder holds. Raises `Untrusted` or `objects.Unreachable`."""
        kept = self._kept.get(folder)
        if kept is not None and time.monotonic() - kept[0] < KEPT_S:
            return kept[1]
        where = f"{folder}/{NAME}"
        content = await objects.small(self._prefix, http, where)
        signature = await objects.small(self._prefix, http, f"{folder}/{SIGNATURE}")
        if content is None or signature is None:
            raise Untrusted(f"{where}: missing, or without its signature")
        files = parse(content, signature, self._trusted, where)
        if len(self._kept) > 1000:
            self._kept.clear()
        self._kept[folder] = (time.monotonic(), files)
        return files

    async def file(self, http: aiohttp.ClientSession, name: str) -> File | None:
        """What an object must be; None for a manifest itself. Raises `Untrusted` where no manifest lists it."""
        folder, _, last = name.rpartition("/")
        if last in (NAME, SIGNATURE):
            return None
        found = (await self.folder(http, folder)).get(last)
        if found is None:
            raise Untrusted(f"{name}: not in its folder's manifest")
        return found

    async def latest(self, http: aiohttp.ClientSession) -> str | None:
        """The release that `latest` means now. Raises `Untrusted` or `objects.Unreachable`."""
        if not self._prefix.url:
            return None
        content = await objects.small(self._prefix, http, LATEST_FILE)
        if content is None:
            return None
        named = content.decode("utf-8", "replace").strip()
        if not _VERSION.fullmatch(named):
            raise Untrusted(f"{LATEST_FILE}: names no release")
        return named

    def name_of(self, url: str) -> str | None:
        """The object's name in a URL of our own proxy or of the bucket itself."""
        if self._prefix.url and url.startswith(self._prefix.of("")):
            return objects.checked(url.removeprefix(self._prefix.of("")))
        path = urlsplit(url).path
        return objects.checked(path.removeprefix(PROXY)) if path.startswith(PROXY) else None


def _signed(content: bytes, signature: bytes, key: Key) -> bool:
    try:
        key.verify(base64.b64decode(signature), content)
    except (InvalidSignature, ValueError):
        return False
    return True
