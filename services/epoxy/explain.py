"""What a host would be told now and why; and its boots so far, as an operator reads them. Pure.

Neither shows a session id or a URL with one: there is none to show, only digests are kept.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from services.epoxy import beginning, callers, records, sessions

_SECOND_NS = 1_000_000_000


def host(
    state: sessions.State,
    address: callers.Address | None,
    offered: Collection[str],
    *,
    now_ns: int,
    policy: sessions.Policy,
) -> dict[str, Any]:
    """Stage1 from `address` (None: the record's own), now."""
    desired, boot = state.host.desired, state.boot
    asking = address or callers.parse(desired.ipv4_addr)
    choice = beginning.choose(state.host, now_ns)
    try:
        beginning.admit(state, asking, policy, now_ns)
        status, text = 200, choice.why
    except sessions.Refused as refused:
        status, text = refused.status, refused.text
    return {
        "host": desired.name,
        "caller": None if asking is None else str(asking),
        "stage1": {"status": status, "why": text},
        "sequence": choice.sequence,
        "images_version": choice.version,
        "update_flag": state.host.observed.update_enabled,
        "next_boot": _order(state, now_ns),
        "chain": beginning.chain(state.host, choice, choice.version),
        "operations": {
            "told": [name for name in desired.extensions if name in offered],
            "not_offered_by_this_server": [name for name in desired.extensions if name not in offered],
        },
        "latest_boot": None if boot is None else shown(boot, latest=True, now_ns=now_ns, policy=policy),
    }


def _order(state: sessions.State, now_ns: int) -> dict[str, Any] | None:
    """An order for one boot and what became of it: it stands until the machine shows in stage2 that it got it."""
    order, boot = state.host.observed.next_boot, state.boot
    if order is None:
        return None
    if now_ns >= order.expires_ns:
        what = "expired: it is followed no more"
    elif boot is not None and boot.began_ns >= order.set_ns:
        what = (
            f"pending: boot {boot.number} was told it in stage1 and has not asked for stage2; until one does, it stands"
        )
    else:
        what = "waiting: the machine has not booted since"
    return {**order.json(), "state": what}


def history(boots: Sequence[sessions.Boot], *, now_ns: int, policy: sessions.Policy) -> list[dict[str, Any]]:
    """The newest first."""
    return [shown(boot, latest=index == 0, now_ns=now_ns, policy=policy) for index, boot in enumerate(boots)]


def shown(boot: sessions.Boot, *, latest: bool, now_ns: int, policy: sessions.Policy) -> dict[str, Any]:
    """One boot: how it went, and the seconds from stage1 to each stage."""
    return {
        "number": boot.number,
        "outcome": sessions.outcome(boot, latest=latest, now_ns=now_ns, policy=policy),
        "stage": boot.stage,
        "began": records.rfc3339(boot.began_ns),
        "seconds": {key: round((at_ns - boot.began_ns) / _SECOND_NS, 3) for key, at_ns in boot.reached_ns.items()},
        "address": boot.address,
        "form": boot.form,
        "sequence": boot.sequence,
        "why": boot.why,
        "images_version": boot.version,
        "uses": dict(boot.uses),
        "extensions": dict(boot.extensions),
        "sha256": dict(boot.sha256),
        "reports": [{"at": records.rfc3339(one.at_ns), "message": one.message, **one.details} for one in boot.reports],
    }
