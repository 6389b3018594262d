"""The values that every reconciler shares: what git wants, what a target has, and the change between the two.

All are frozen, so that a plan can be passed between threads, printed, hashed and compared.
Nothing here knows a target, a file format or a command line.

Those that a fleet has a hundred thousand of (a DNS zone has one for each name and type) are structs of msgspec: made,
hashed and compared in a fraction of the time of a dataclass. `dataclasses.replace` is `msgspec.structs.replace` there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from operator import attrgetter
from typing import Any

import msgspec

Json = Mapping[str, Any]
"""A JSON object: string keys, values of null, bool, int, float, str, list and object."""


class Span(msgspec.Struct, frozen=True, order=True, gc=False):
    """Where in git something came from: a path relative to the root, line and column from 1 (0: not known)."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        if not self.line:
            return self.file
        return f"{self.file}:{self.line}" + (f":{self.column}" if self.column else "")


_NOWHERE = Span("")


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One problem of the configuration, as one line and as JSON; `code` and `name` identify the rule.

    `severity` is error, warning or note; only errors make a configuration invalid. `error_from` is the day on which a
    warning becomes one.
    """

    code: str
    name: str
    message: str
    span: Span
    end: tuple[int, int] = (0, 0)
    severity: str = "error"
    related: tuple[tuple[Span, str], ...] = ()
    hint: str = ""
    error_from: date | None = None

    def line(self) -> str:
        """`FILE:LINE:COL: S02 site.prefix-overlap: MESSAGE`; what is no error says so before its code."""
        where = f"{self.span.file}:{max(self.span.line, 1)}:{max(self.span.column, 1)}"
        kind = "" if self.severity == "error" else f"{self.severity}: "
        until = f" (an error from {self.error_from})" if self.error_from else ""
        return f"{where}: {kind}{self.code} {self.name}: {self.message}{until}"


class Id(msgspec.Struct, frozen=True, order=True, gc=False):
    """The only key of a resource. Prints as `kind/name`; `name` may hold slashes (`Deployment/ns/name`)."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True)
class Owner:
    """The mark on a live object that says who manages it. `commit` is the one of the last real write."""

    owner: str
    env: str
    scope: str
    source: str = ""
    commit: str = ""


class Resource(msgspec.Struct, frozen=True, eq=False):
    """What git wants. `spec` holds owned fields only; `sensitive` names field paths never to be printed.

    `payload` is what is written besides the fields: of bytes too many for a plan, `spec` has the digest. It takes no
    part in comparisons.
    """

    id: Id
    spec: Json
    span: Span
    deps: frozenset[Id] = frozenset()
    protect: bool = False
    adopt: bool = False
    sensitive: frozenset[tuple[str | int, ...]] = frozenset()
    payload: bytes | None = None
    content: str | None = None
    """The path of content too large for a payload, on a machine that has it; not compared."""
    exact: bool = False
    """Written only if all that it depends on is as git wants it, not merely there: the index of a set of files."""
    take_over: tuple[str, ...] = ()
    """Fields that another manager may hold and that are taken from him, as the target names them."""
    moved_from: Id | None = None
    """What the same thing was called before git renamed it."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Resource):
            return NotImplemented
        return bool(_compared(self) == _compared(other))

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"Resource({self.id}, {self.spec!r}, {self.span})"


_compared = attrgetter(*(name for name in Resource.__struct_fields__ if name not in ("payload", "content")))


class Observed(msgspec.Struct, frozen=True):
    """What the target has: owned fields only, normalised; `token` is the precondition of a write."""

    id: Id
    spec: Json
    owner: Owner | None
    protect: bool = False
    token: str | None = None
    note: str = ""
    """What a reviewer should know of the live object (a host's last boot), shown with its change."""


@dataclass(frozen=True, slots=True)
class Field:
    """One differing field; `before` or `after` is None where it is absent there. Sensitive ones come masked."""

    path: tuple[str | int, ...]
    before: Any
    after: Any
    sensitive: bool = False


class Action(StrEnum):
    """What a change does to one resource."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    ADOPT = "adopt"
    REPLACE = "replace"
    FORGET = "forget"


class Risk(StrEnum):
    """How bad a wrong change would be; `irreversible` needs an acknowledgement that names the exact id."""

    SAFE = "safe"
    DISRUPTIVE = "disruptive"
    DESTRUCTIVE = "destructive"
    IRREVERSIBLE = "irreversible"


RISK_ORDER = {Risk.IRREVERSIBLE: 0, Risk.DESTRUCTIVE: 1, Risk.DISRUPTIVE: 2, Risk.SAFE: 3}


class Cause(StrEnum):
    """Why there is a change: git moved, the target moved, or there is no record to tell."""

    CONFIG = "config"
    DRIFT = "drift"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one resource. `blocked` says in one sentence why it may not be applied, or is None."""

    action: Action
    id: Id
    desired: Resource | None
    observed: Observed | None
    fields: tuple[Field, ...] = ()
    risk: Risk = Risk.SAFE
    cause: Cause = Cause.UNKNOWN
    reason: str = ""
    source: Span = _NOWHERE
    removed_in: str = ""
    blocked: str | None = None
    ack: str | None = None
    impossible: bool = False
    """Blocked by the target's nature (an immutable field): no acknowledgement helps."""
    moved: Id | None = None
    """Of a rename, the other half: what it was called, or what it is called now."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Every change of one scope, and every problem found. `complete` is False where it could not be observed."""

    scope: str
    changes: tuple[Change, ...] = ()
    unchanged: int = 0
    population: Mapping[str, int] = field(default_factory=dict)
    complete: bool = True
    problems: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    """What forbids to apply this plan, one sentence each: an exceeded limit with the way to permit it, or the mode."""
    paused: str = ""
    """Why git has this scope left alone. Nothing of it was looked at, so it has no changes."""


class Result(StrEnum):
    """What became of one change."""

    APPLIED = "applied"
    UNCHANGED = "unchanged"
    FAILED_TEMPORARY = "failed(temporary)"
    FAILED_PERMANENT = "failed(permanent)"
    CONFLICT = "conflict"
    SKIPPED = "skipped(dep)"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one change: `error` is one line without secrets, at most 256 characters."""

    change: Change
    result: Result
    error: str = ""
    tries: int = 1
    ms: int = 0


class HealthState(StrEnum):
    """The states of kstatus that a wait can end in."""

    CURRENT = "current"
    IN_PROGRESS = "in-progress"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Health:
    """Whether a written resource works yet, and what it waits for."""

    state: HealthState
    message: str = ""
