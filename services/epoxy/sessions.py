"""The sessions of one boot, as pure functions over frozen values: which id opens what, from where, and until when.

A boot goes `stage1 -> stage2 -> stage3 -> done`. Each stage1 draws four new ids and ends the boot before it. An id
opens the current stage or the next one, never an earlier one: a client asks again after a lost answer, so the current
stage may be repeated, within a limit, and nothing goes back. Only digests are kept; what is kept opens nothing.
The original drew the same ids and compared two of them, at two of the four places, without an end.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from services.epoxy import records

ID_BYTES = 20
KEPT_REPORTS = 10
SUCCESS_REPEAT_S = 300
"""How long a success may be reported again: the answer to the first report may have been lost."""

WRONG_ID = "Given session ID does not match host record"
WRONG_CALLER = "Caller cannot access host"


class Stage(StrEnum):
    """How far a boot has come: the last stage that was asked for, or that success was reported."""

    STAGE1 = "stage1"
    STAGE2 = "stage2"
    STAGE3 = "stage3"
    DONE = "done"


ORDER = tuple(Stage)


class Refused(Exception):
    """A request that this boot does not permit; `reason` is for metrics, the text for the caller."""

    def __init__(self, reason: str, text: str, *, status: int = 403, retry_after_s: int | None = None) -> None:
        super().__init__(text)
        self.reason = reason
        self.text = text
        self.status = status
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Policy:
    """Limits of a boot. 120 minutes are the extension server's own limit; the client repeats once a minute."""

    life_s: int = 7200
    repeats: int = 150
    stage1_calls: int = 20
    stage1_window_s: int = 600
    kept_boots: int = 50


@dataclass(frozen=True, slots=True)
class Report:
    """One report of a machine, without anything that opens a door."""

    at_ns: int
    message: str
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Boot:
    """One boot of one host: all that is decided at stage1, and how far it has come since."""

    number: int
    form: str
    sequence: str
    why: str
    version: str
    address: str
    began_ns: int
    digests: Mapping[str, str]
    chain: Mapping[str, str]
    sha256: Mapping[str, str] = field(default_factory=dict)
    stage: Stage = Stage.STAGE1
    uses: Mapping[str, int] = field(default_factory=dict)
    reached_ns: Mapping[str, int] = field(default_factory=dict)
    extensions: Mapping[str, int] = field(default_factory=dict)
    reports: tuple[Report, ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    """One host with its latest boot, and when its latest boots began, the newest first."""

    host: records.Host
    boot: Boot | None
    recent_ns: tuple[int, ...] = ()


def draw(entropy: bytes) -> dict[str, str]:
    """Four ids of 27 URL-safe characters out of 80 random bytes."""
    if len(entropy) != ID_BYTES * len(records.SESSION_KEYS):
        raise ValueError("an id needs 20 bytes")
    return {
        key: base64.urlsafe_b64encode(entropy[index * ID_BYTES : (index + 1) * ID_BYTES]).rstrip(b"=").decode()
        for index, key in enumerate(records.SESSION_KEYS)
    }


def digest(identity: str) -> str:
    """What is kept of an id. 160 random bits need no salt and no slow hash."""
    return hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()


def enter(boot: Boot | None, stage: Stage, identity: str, address: str, *, now_ns: int, policy: Policy) -> Boot:
    """Ask for stage2 or stage3: the next one, or the current one again."""
    key = "Stage2ID" if stage is Stage.STAGE2 else "Stage3ID"
    found = _open(boot, key, identity, address, now_ns=now_ns, policy=policy)
    here, asked = ORDER.index(found.stage), ORDER.index(stage)
    if asked < here:
        raise Refused("stage-over", f"{WRONG_ID}: {stage} is over")
    if asked > here + 1:
        raise Refused("stage-early", f"{WRONG_ID}: {ORDER[here + 1]} comes before {stage}")
    return _reach(_used(found, key, policy), stage, now_ns)


def report(
    boot: Boot | None, identity: str, address: str, message: Report, *, now_ns: int, policy: Policy
) -> tuple[Boot, bool]:
    """Take a report; the flag says whether it makes this boot a success. A repeat of the success changes nothing."""
    found = _open(boot, "ReportID", identity, address, now_ns=now_ns, policy=policy)
    success = message.message == "success"
    if found.stage is Stage.DONE:
        if success and now_ns - found.reached_ns[Stage.DONE] <= SUCCESS_REPEAT_S * 1_000_000_000:
            return _used(found, "ReportID", policy), False
        raise Refused("boot-over", f"{WRONG_ID}: this boot has succeeded")
    if success and found.stage is not Stage.STAGE3:
        raise Refused("stage-early", f"{WRONG_ID}: a boot succeeds in stage3, this one is in {found.stage}")
    told = replace(_used(found, "ReportID", policy), reports=(*found.reports, message)[-KEPT_REPORTS:])
    return (_reach(told, Stage.DONE, now_ns), True) if success else (told, False)


def extend(
    boot: Boot | None,
    identity: str,
    address: str,
    operation: str,
    stages: frozenset[Stage],
    *,
    now_ns: int,
    policy: Policy,
) -> Boot:
    """Use an extension, in one of the stages that it is meant for."""
    found = _open(boot, "ExtensionID", identity, address, now_ns=now_ns, policy=policy, ends=Stage.DONE not in stages)
    if found.stage not in stages:
        over = "boot-over" if found.stage is Stage.DONE else "stage-wrong"
        raise Refused(over, f"{WRONG_ID}: {operation} is not for {found.stage}")
    counted = _used(found, "ExtensionID", policy)
    return replace(counted, extensions={**counted.extensions, operation: counted.extensions.get(operation, 0) + 1})


def outcome(boot: Boot, *, latest: bool, now_ns: int, policy: Policy) -> str:
    """`success`, `superseded` by a later boot, `expired`, or `running`."""
    if boot.stage is Stage.DONE:
        return "success"
    if not latest:
        return "superseded"
    return "expired" if _expired(boot, now_ns, policy) else "running"


def _open(
    boot: Boot | None, key: str, identity: str, address: str, *, now_ns: int, policy: Policy, ends: bool = True
) -> Boot:
    """The boot, if the id is its own. The comparison takes as long for a boot that is not there."""
    expected = "" if boot is None else boot.digests[key]
    same = hmac.compare_digest(digest(identity), expected or digest(""))
    if boot is None or not same:
        raise Refused("id", WRONG_ID)
    if boot.address != address:
        raise Refused("address-moved", WRONG_CALLER)
    if ends and _expired(boot, now_ns, policy):
        raise Refused("expired", f"{WRONG_ID}: it has expired")
    return boot


def _expired(boot: Boot, now_ns: int, policy: Policy) -> bool:
    return not 0 <= now_ns - boot.began_ns <= policy.life_s * 1_000_000_000


def _used(boot: Boot, key: str, policy: Policy) -> Boot:
    uses = boot.uses.get(key, 0) + 1
    if uses > policy.repeats + 1:
        raise Refused("repeats", f"{WRONG_ID}: it was used {policy.repeats} times too many")
    return replace(boot, uses={**boot.uses, key: uses})


def _reach(boot: Boot, stage: Stage, now_ns: int) -> Boot:
    if stage is boot.stage:
        return boot
    return replace(boot, stage=stage, reached_ns={**boot.reached_ns, stage: now_ns})
