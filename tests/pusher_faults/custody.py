"""The order of events, from the store's side: while a bundle is about to be stored, every file of it is still there.

The proxy between pusher and store sees each upload before the store does. At that moment no copy of the bundle is
stored, so a member that has no file any more was deleted too early: this sees every early deletion, however short.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import threading
from pathlib import Path

from node.audit import bundles


class Custody:
    """Hooks of a `FaultProxy`, and what they saw."""

    def __init__(self, spool: Path) -> None:
        self._spool = spool
        self._guard = threading.Lock()
        self.stored: dict[str, int] = {}
        """Objects, with the number of their members."""
        self.early: list[str] = []
        """Members that were deleted before their bundle was stored."""

    def before(self, method: str, path: str, body: bytes) -> None:
        upload = parsed(method, path, body)
        if upload is None or upload[0] in self.stored:
            return
        name, content = upload
        missing = [f"{name}: {path!r}" for path in self._files(name, content) if not os.path.lexists(path)]
        with self._guard:
            # An attempt that was given up may have been stored meanwhile, by this very proxy.
            if name not in self.stored:
                self.early += missing

    def after(self, method: str, path: str, body: bytes, status: int) -> None:
        upload = parsed(method, path, body)
        if upload is not None and status == 200:
            members = len(self._files(*upload))
            with self._guard:
                self.stored[upload[0]] = members

    def _files(self, name: str, content: bytes) -> list[bytes]:
        """Where the members of a bundle, or of its index, are in the spool."""
        if name.endswith(".tgz"):
            datatype = name.split("/")[1]
            above = os.fsencode(self._spool / datatype) + b"/"
            return [above + member.path for member in bundles.tar_members(io.BytesIO(content), datatype)]
        if not name.endswith(".jsonl.gz"):
            return []
        lines = [json.loads(line) for line in gzip.decompress(content).splitlines()]
        return [os.fsencode(line["Archiver"]["Filename"] if "Archiver" in line else line["Filename"]) for line in lines]


def parsed(method: str, path: str, body: bytes) -> tuple[str, bytes] | None:
    """Name and content of an object that is uploaded in one request."""
    if method != "POST" or "uploadType=multipart" not in path:
        return None
    boundary = body.partition(b"\r\n")[0]
    _, metadata, content = body.split(b"\r\n\r\n", 2)
    name = json.loads(metadata.partition(b"\r\n" + boundary)[0])["name"]
    end = content.rfind(b"\r\n" + boundary)
    return str(name), content[:end]
