"""One byte form for one value, so that equal things have equal digests on every machine."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def dumps(value: Any) -> str:
    """Canonical JSON: sorted keys, no spaces, UTF-8 kept as it is."""
    return _encode(value)


# Made once: `json.dumps` makes an encoder for each call with options, which takes longer than a small value does.
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def sha256(value: Any) -> str:
    """Hex SHA-256 of the canonical JSON."""
    return hashlib.sha256(dumps(value).encode()).hexdigest()
