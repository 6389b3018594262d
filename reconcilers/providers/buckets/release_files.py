"""Files of boot releases in a bucket: hundreds of megabytes, streamed from where they lie and never read for a plan.

What is live is compared by marks: beside the SHA-256 that git pins, the object bears the CRC32C that its content had
when we uploaded it, and the store tells the CRC32C of what it holds. If the two agree, it holds what was uploaded; if
they do not, somebody put something else there. So a machine without the files plans all the same, and one that has
them uploads nothing twice.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import google_crc32c

from reconcilers.core.errors import Permanent
from reconcilers.core.model import Change, Owner, Resource
from reconcilers.providers.buckets import form
from reconcilers.providers.buckets.api import Api, object_path

BLOCK_BYTES = 1 << 20
_SHA256, _CRC32C = "mlab-sha256", "mlab-crc32c"


def digest(found: Mapping[str, Any], wanted: Resource) -> str | None:
    """The SHA-256 of a live object's content, where it is known to be what is wanted."""
    assert wanted.content is not None
    path = Path(wanted.content)
    marks = found.get("metadata", {})
    if _CRC32C in marks:
        same = marks.get(_SHA256) == wanted.spec["sha256"] and marks[_CRC32C] == found["crc32c"]
    else:
        # Somebody else put it there: only the file itself can tell, where it is here.
        same = path.is_file() and (found["crc32c"], wanted.spec["sha256"]) == checksums(path)
    return str(wanted.spec["sha256"]) if same else None


def missing(change: Change) -> str:
    """Why this machine cannot make a change: it has not the file; empty if it can."""
    wanted, live = change.desired, change.observed
    if wanted is None or wanted.content is None or Path(wanted.content).is_file():
        return ""
    if live is not None and live.spec.get("sha256") == wanted.spec["sha256"]:
        return ""
    way_out = "run `mlab images release`, or set targets.buckets.images to the folder that holds the release"
    return f"its content is not on this machine: {way_out}"


def write(api: Api, change: Change, mark: Owner) -> None:
    """Upload a file, or correct what is said of one whose content is right. Raises `Permanent` for another content."""
    assert change.desired is not None and change.desired.content is not None
    spec, path = change.desired.spec, Path(change.desired.content)
    bucket, name = str(spec["bucket"]), str(spec["name"])
    generation = int((change.observed.token if change.observed else 0) or 0)
    described = {key: spec[key] for key in ("contentType", "cacheControl")}
    marks = form.object_marks(name, spec["sha256"], mark)
    if change.observed is not None and change.observed.spec["sha256"] == spec["sha256"]:
        live = api.call("GET", object_path(bucket, name))
        body = {**described, "metadata": {**marks, _CRC32C: live["crc32c"]}}
        api.call("PATCH", object_path(bucket, name), {"ifGenerationMatch": generation}, body)
        return
    try:
        crc32c, sha256 = checksums(path)
    except OSError as error:
        raise Permanent(f"{path}: {error.strerror}; git pins it as {name}") from None
    if sha256 != spec["sha256"]:
        raise Permanent(
            f"{path}: its SHA-256 is {sha256}, git pins {spec['sha256']}; give the file of that very release"
        )
    resource = {"name": name, **described, "metadata": {**marks, _CRC32C: crc32c}}
    api.upload_file(bucket, resource, path, {"ifGenerationMatch": generation})


def checksums(path: Path) -> tuple[str, str]:
    """CRC32C as the store writes it, and SHA-256; the file is read once, a block at a time."""
    crc, sha = 0, hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            crc = google_crc32c.extend(crc, block)
            sha.update(block)
    return base64.b64encode(struct.pack(">I", crc)).decode(), sha.hexdigest()
