"""The extension operations that this server offers: where each is served, how long it may take, in which stages.

The operator's table is one JSON object: `{"NAME": {"url": ..., "timeout_s": 30, "stages": ["stage3"]}}`; `token_file`,
`ca`, `certificate` and `key` may be added, so that each side knows the other. Without `stages` an operation is open
during the whole boot. One that names `done` is for a machine that runs: it alone may be used after the success, by the
same boot's id, until the next boot. A table that changes is taken up within a second, unless it is wrong.
"""

from __future__ import annotations

import json
import logging
import re
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from services.epoxy import sessions

NAME = re.compile(r"[a-z0-9_]{1,40}")
BOOTING = frozenset({sessions.Stage.STAGE1, sessions.Stage.STAGE2, sessions.Stage.STAGE3})
DEFAULT_TIMEOUT_S = 60.0
MAX_TIMEOUT_S = 300.0
_FILES = ("token_file", "ca", "certificate", "key")
_KEYS = {"url", "timeout_s", "stages", *_FILES}
CHECK_S = 1.0
_LOG = logging.getLogger("epoxy.operations")


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of the table."""

    url: str
    timeout_s: float = DEFAULT_TIMEOUT_S
    stages: frozenset[sessions.Stage] = BOOTING
    token_file: Path | None = None
    """A file with the bearer token that this extension server asks for; read for each request."""
    tls: ssl.SSLContext | None = None
    """Whom to trust and what to show, where the row says; None: the system's authorities, no certificate."""


def load(path: Path) -> Mapping[str, Operation]:
    """Read the table. Raises ValueError that names the file, the operation and what is wrong with it."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{path}: not JSON: {error}") from None
    if not isinstance(table, dict):
        raise ValueError(f"{path}: must be an object of operations")
    return {name: _operation(f"{path}: {name[:60]!r}", name, row) for name, row in table.items()}


class Table(Mapping[str, Operation]):
    """The table of a file, as the file is now. Raises ValueError if it cannot be read at first."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = _state(path)
        self._rows = load(path)
        self._checked_s = time.monotonic()

    def __getitem__(self, name: str) -> Operation:
        return self._now()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())

    def __len__(self) -> int:
        return len(self._now())

    def _now(self) -> Mapping[str, Operation]:
        if time.monotonic() - self._checked_s >= CHECK_S:
            self._checked_s = time.monotonic()
            seen = _state(self._path)
            if seen != self._seen:
                self._seen = seen
                try:
                    self._rows = load(self._path)
                except ValueError as error:
                    _LOG.error("operations not taken up", extra={"fields": {"error": str(error)}})
                else:
                    _LOG.info("operations", extra={"fields": {"names": sorted(self._rows)}})
        return self._rows


def _state(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except OSError:
        return ()
    return status.st_mtime_ns, status.st_size, status.st_ino


def _operation(where: str, name: str, row: Any) -> Operation:
    if not NAME.fullmatch(name):
        raise ValueError(f"{where}: an operation's name must match {NAME.pattern}")
    if not isinstance(row, dict) or not set(row) <= _KEYS or "url" not in row:
        raise ValueError(f"{where}: must be an object with url and, if need be, timeout_s and stages")
    timeout_s = row.get("timeout_s", DEFAULT_TIMEOUT_S)
    if isinstance(timeout_s, bool) or not isinstance(timeout_s, int | float) or not 0 < timeout_s <= MAX_TIMEOUT_S:
        raise ValueError(f"{where}: timeout_s must be a number above 0 and at most {MAX_TIMEOUT_S:.0f}")
    try:
        stages = frozenset(sessions.Stage(stage) for stage in row.get("stages", BOOTING))
        usable = urlsplit(row["url"]).scheme in ("http", "https") and bool(urlsplit(row["url"]).hostname)
    except (TypeError, ValueError, AttributeError):
        stages, usable = frozenset(), False
    if not stages:
        raise ValueError(f"{where}: stages must be some of {', '.join(sessions.Stage)}; url an absolute one")
    if not usable:
        raise ValueError(f"{where}: url must be an absolute http or https URL")
    files = {key: Path(row[key]) for key in _FILES if isinstance(row.get(key), str)}
    missing = [key for key in _FILES if key in row and not (key in files and files[key].is_file())]
    if missing:
        raise ValueError(f"{where}: {missing[0]} must be a file that exists")
    return Operation(row["url"], float(timeout_s), stages, files.get("token_file"), _tls(where, files))


def _tls(where: str, files: Mapping[str, Path]) -> ssl.SSLContext | None:
    if ("certificate" in files) != ("key" in files):
        raise ValueError(f"{where}: certificate and key belong together; give both or none")
    if not files.keys() & {"ca", "certificate"}:
        return None
    try:
        context = ssl.create_default_context(cafile=files.get("ca"))
        if "certificate" in files:
            context.load_cert_chain(files["certificate"], files["key"], password="")
    except (ssl.SSLError, OSError) as error:
        raise ValueError(f"{where}: ca, certificate or key cannot be used: {error}") from None
    return context
