"""Records and boots to put into a store."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from services.epoxy import records, sessions, store, validate
from tests import epoxy_service

Change = Callable[[sessions.State], sessions.State]


def desired(name: str = epoxy_service.name(), **changes: Any) -> records.Desired:
    """A record as the administration API makes it."""
    return validate.desired(epoxy_service.record(name, **changes), name)


def boot(number: int = 1, **changes: Any) -> sessions.Boot:
    made = sessions.Boot(
        number=number,
        form="stage1.ipxe",
        sequence="boot",
        why="",
        version="v2.1.10",
        address="198.18.5.11",
        began_ns=1_700_000_000_000_000_000 + number,
        digests={key: sessions.digest(f"{key}{number}") for key in records.SESSION_KEYS},
        chain={"stage2": "https://images.test/stage2.json"},
    )
    return dataclasses.replace(made, **changes)


def seeing(**changes: Any) -> Change:
    """Sets fields of the server's half."""

    def change(state: sessions.State) -> sessions.State:
        observed = dataclasses.replace(state.host.observed, **changes)
        return sessions.State(dataclasses.replace(state.host, observed=observed), state.boot)

    return change


def booting(made: sessions.Boot) -> Change:
    """Puts a boot."""
    return lambda state: sessions.State(state.host, made)


def changed(hosts: store.Store, name: str, change: Change) -> sessions.State:
    """One change that must succeed."""
    (result,) = hosts.change([(name, change)])
    assert isinstance(result, sessions.State), result
    return result
