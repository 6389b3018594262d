"""What the command line says, in the form that the engine works with."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node.pusher.bundle import Format
from node.pusher.timers import Wait

_DAY_US = 86_400_000_000


class StartError(Exception):
    """A value that the program cannot start with."""


@dataclass(frozen=True, slots=True)
class Datatype:
    """One datatype: where its files are, where its journals are, and when a bundle is sealed."""

    name: str
    root: Path
    state: Path
    ratio: float
    wait: Wait
    max_members: int
    max_file_age_s: float

    def past(self, key: str, us: int) -> bool:
        """Whether a folder is that of a day that ended a day ago, or longer."""
        return len(key) == 10 and key < time.strftime("%Y/%m/%d", time.gmtime((us - _DAY_US) / 1e6))


@dataclass(frozen=True, slots=True)
class Times:
    """How often to search, and how long the end may take. Seconds."""

    cleanup: Wait
    collect_s: float
    drain_s: float
    upload_s: float


@dataclass(frozen=True, slots=True)
class Table:
    """What lines of a datatype are loaded into."""

    object_name: str
    fields: list[dict[str, Any]]
    upload: bool


@dataclass(frozen=True, slots=True)
class Settings:
    """All of it. `forms` by datatype; `tables` of those that become lines."""

    bucket: str
    datatypes: tuple[Datatype, ...]
    forms: Mapping[str, Format]
    tables: Mapping[str, Table]
    times: Times
    listen: str
    only_check: bool
    end_after_s: float
