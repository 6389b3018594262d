"""What a client may say of an object: its name and the writable fields of its resource. Pure.

Each check returns what is to be kept or raises the error that the service would give.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from services.local.objectstore import bucket_rules, errors, store

WRITABLE = (
    "cacheControl",
    "contentDisposition",
    "contentEncoding",
    "contentLanguage",
    "contentType",
    "customTime",
    "eventBasedHold",
    "metadata",
    "storageClass",
    "temporaryHold",
)
HOLDS = ("temporaryHold", "eventBasedHold")
MAX_METADATA_BYTES = 8192


def check_name(name: object) -> str:
    """A legal object name, or 400."""
    if not isinstance(name, str) or not name:
        raise errors.ApiError(400, "required", "Required parameter: name", location="name")
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        raise errors.invalid("Disallowed unicode characters present in object name") from None
    if length > 1024:
        raise errors.invalid(f"The object name is longer than 1024 bytes: {length}")
    if "\r" in name or "\n" in name or name in (".", "..") or name.startswith(".well-known/acme-challenge/"):
        raise errors.invalid(f"Invalid object name: {name[:80]!r}")
    return name


def writable(body: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that a client may set, checked."""
    given = {key: value for key, value in body.items() if key in WRITABLE}
    for key, value in given.items():
        if key != "metadata" and not isinstance(value, bool | None if key in HOLDS else str | None):
            raise errors.invalid(f"Invalid value for {key}: {str(value)[:64]!r}", key)
    if given.get("storageClass") is not None:
        bucket_rules.check_storage_class(given["storageClass"])
    if given.get("customTime") is not None:
        given["customTime"] = check_time(given["customTime"], "customTime")
    metadata = given.get("metadata")
    if metadata is not None:
        if not isinstance(metadata, dict) or not all(isinstance(v, str | None) for v in metadata.values()):
            raise errors.invalid("Invalid argument: metadata must map strings to strings", "metadata")
        size = sum(len(k.encode()) + len((v or "").encode()) for k, v in metadata.items())
        if size > MAX_METADATA_BYTES:
            raise errors.invalid(f"Metadata of {size} bytes is larger than {MAX_METADATA_BYTES} bytes", "metadata")
    return given


def check_time(text: object, field: str) -> str:
    """A time with its zone, in the form of the API, or 400."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise errors.invalid(f"Invalid value for {field}: {str(text)[:64]!r} is not a time with its zone", field)
    return store.timestamp(moment.timestamp())
