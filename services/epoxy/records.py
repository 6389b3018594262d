"""A host as ePoxy keeps it: what the administrator wants, and what the server saw.

The field names on the wire are those of the original's `Host` record. The two halves have separate owners: an
administrator's write never carries a field of `Observed`, a boot never carries one of `Desired`. The revision counts
writes of the desired half only, so that a boot between plan and apply does not make the plan stale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

SEQUENCE_KEYS = ("stage1.ipxe", "stage1.json", "stage2", "stage3")
"""The stages that a boot sequence names, in the order of a boot."""

SESSION_KEYS = ("Stage2ID", "Stage3ID", "ReportID", "ExtensionID")
"""The sessions of the boot under way, in the order in which a boot uses them."""

OBSERVED_FIELDS = (
    "UpdateEnabled",
    "CurrentSessionIDs",
    "LastSessionCreation",
    "LastReport",
    "LastSuccess",
    "CollectedInformation",
    "NextBoot",
)
"""Fields that belong to the server; an administrator's write that names one is refused."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Who manages the record, from which file, and the commit of the last write."""

    owner: str
    env: str
    scope: str
    source: str
    commit: str

    def json(self) -> dict[str, str]:
        return {
            "owner": self.owner,
            "env": self.env,
            "scope": self.scope,
            "source": self.source,
            "commit": self.commit,
        }


@dataclass(frozen=True, slots=True)
class Desired:
    """The administrator's half. A retired host gets no boot; a protected one cannot be deleted."""

    name: str
    ipv4_addr: str
    boot: Mapping[str, str]
    update: Mapping[str, str]
    images_version: str
    extensions: tuple[str, ...]
    retired: bool
    protect: bool
    owner: Mark | None
    callers: tuple[str, ...] = ()
    """Addresses and prefixes of either family that may call beside `ipv4_addr`."""

    def json(self) -> dict[str, Any]:
        """The wire form, keys always in the same order."""
        return {
            "Name": self.name,
            "IPv4Addr": self.ipv4_addr,
            "Boot": {key: self.boot[key] for key in SEQUENCE_KEYS},
            "Update": {key: self.update[key] for key in SEQUENCE_KEYS},
            "ImagesVersion": self.images_version,
            "Extensions": list(self.extensions),
            "Retired": self.retired,
            "Protect": self.protect,
            "Owner": None if self.owner is None else self.owner.json(),
            **({"Callers": list(self.callers)} if self.callers else {}),
        }


@dataclass(frozen=True, slots=True)
class NextBoot:
    """An administrator's order for the next boot alone: its sequence and, unless empty, its release."""

    sequence: str
    version: str
    set_ns: int
    expires_ns: int

    def json(self) -> dict[str, Any]:
        return {
            "sequence": self.sequence,
            "version": self.version,
            "set": rfc3339(self.set_ns),
            "expires": rfc3339(self.expires_ns),
        }


@dataclass(frozen=True, slots=True)
class Observed:
    """The server's half. Times are nanoseconds since 1970; 0 means never.

    `current_session_ids` holds what tells the current boot's sessions from older ones, never what opens them.
    """

    update_enabled: bool = False
    current_session_ids: Mapping[str, str] = field(default_factory=dict)
    last_session_creation_ns: int = 0
    last_report_ns: int = 0
    last_success_ns: int = 0
    collected_information: Mapping[str, str] = field(default_factory=dict)
    next_boot: NextBoot | None = None

    def json(self) -> dict[str, Any]:
        return {
            "UpdateEnabled": self.update_enabled,
            "CurrentSessionIDs": {key: self.current_session_ids.get(key, "") for key in SESSION_KEYS},
            "LastSessionCreation": rfc3339(self.last_session_creation_ns),
            "LastReport": rfc3339(self.last_report_ns),
            "LastSuccess": rfc3339(self.last_success_ns),
            "CollectedInformation": dict(self.collected_information),
            "NextBoot": None if self.next_boot is None else self.next_boot.json(),
        }


@dataclass(frozen=True, slots=True)
class Host:
    """One record: both halves and the revision of the desired one."""

    desired: Desired
    observed: Observed
    revision: int

    @property
    def etag(self) -> str:
        return f'"{self.revision}"'

    def json(self) -> dict[str, Any]:
        return {"etag": self.etag, "desired": self.desired.json(), "observed": self.observed.json()}


@dataclass(frozen=True, slots=True)
class BootTimes:
    """What a scrape needs of one host."""

    name: str
    retired: bool
    last_boot_ns: int
    last_success_ns: int
    stage: str = ""


def rfc3339(instant_ns: int) -> str:
    """RFC 3339 in UTC with as many decimals as needed; year 1 for never, as the original prints it."""
    if not instant_ns:
        return "0001-01-01T00:00:00Z"
    seconds, fraction = divmod(instant_ns, 1_000_000_000)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    decimals = f".{fraction:09d}".rstrip("0") if fraction else ""
    return f"{text}{decimals}Z"
