"""The Python packages of our programs in the node's container image: the locked versions, for the image's interpreter.

The lock says which versions and, by SHA-256, which files; its `# via` remarks say who needs whom. pip fetches wheels of
the image's Python and C library, whatever this machine has, and checks each hash. The result is kept in the cache under
the lines of the lock that it was made from.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from node.images import cache
from node.images.errors import ImageError

LOCK = "requirements.lock"
WANTED = ("google-cloud-storage", "msgspec", "prometheus-client", "zstandard")
"""What programs of a node import beyond the standard library."""
_PYTHON = "3.11"
_GLIBC = range(17, 37)
"""Minor versions of the C library that wheels may be made for: from manylinux2014 to bookworm's own."""
_BLOCK = re.compile(r"^([a-z0-9][a-z0-9._-]*)==\S+ \\\n(?:[ \t].*\n?)+", re.MULTILINE)
_VIA = re.compile(r"^\s*#\s+(?:via\s+)?([a-z0-9][a-z0-9._-]*)", re.MULTILINE)


def closure(lock: str, wanted: Iterable[str]) -> Mapping[str, str]:
    """The lock's lines by package: of those that are wanted, and of all that they need. Raises `ImageError`."""
    blocks = {found[1]: found[0].rstrip("\n") + "\n" for found in _BLOCK.finditer(lock)}
    chosen = set(wanted)
    missing = sorted(chosen - blocks.keys())
    if missing:
        raise ImageError(f"{LOCK}: no package {', '.join(missing)}; run `make lock`")
    users = {name: {user for user in _VIA.findall(text) if user != "via"} for name, text in blocks.items()}
    while more := {name for name, by in users.items() if by & chosen} - chosen:
        chosen |= more
    return {name: blocks[name] for name in sorted(chosen)}


def folder(source: Path, wanted: Iterable[str] = WANTED) -> Path:
    """A folder with the packages' files, as they would lie on `sys.path`. Raises `ImageError`."""
    text = "".join(closure((source / LOCK).read_text(), wanted).values())
    made = cache.folder("wheels") / hashlib.sha256(f"{_PYTHON}\n{text}".encode()).hexdigest()[:16]
    with cache.turn("wheels"):
        if not made.is_dir():
            with tempfile.TemporaryDirectory(dir=made.parent) as scratch:
                _install(text, Path(scratch))
                (Path(scratch) / "files").rename(made)
    return made


def _install(text: str, scratch: Path) -> None:
    wanted, target = scratch / "wanted.txt", scratch / "files"
    wanted.write_text(text)
    command = [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"),
        *("--no-deps", "--no-compile", "--require-hashes", "--only-binary=:all:", "--target", str(target)),
        *("--implementation", "cp", "--python-version", _PYTHON, "--abi", f"cp{_PYTHON.replace('.', '')}"),
        *("--abi", "abi3", "--abi", "none", "--platform", "manylinux2014_x86_64"),
        *(word for minor in _GLIBC for word in ("--platform", f"manylinux_2_{minor}_x86_64")),
        *("--requirement", str(wanted)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        shutil.rmtree(target, ignore_errors=True)
        raise ImageError(f"pip cannot fetch the node's Python packages: {done.stderr.strip()[-400:]}")
