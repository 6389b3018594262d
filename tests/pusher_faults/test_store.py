"""A store that fails in every way, before and after it has carried a request out."""

from __future__ import annotations

import pytest

from tests import faultproxy
from tests.pusher_faults.rig import Rig

FAULTS = {
    "no answer": faultproxy.down(),
    "500": faultproxy.status(500),
    "429, asked to wait": faultproxy.status(429, headers={"Retry-After": "1"}),
    "412 although nothing is there": faultproxy.status(412),
    "403": faultproxy.status(403),
    "truncated": faultproxy.truncated(),
    "a web page": faultproxy.html(),
    "one byte a second": faultproxy.drip(pause_s=1),
    "stored, and no answer": faultproxy.down(forward=True),
    "stored, and 500": faultproxy.status(500, forward=True),
    "stored, and 412": faultproxy.status(412, forward=True),
    "stored, and truncated": faultproxy.truncated(forward=True),
    "stored, and one byte a second": faultproxy.drip(forward=True, pause_s=1),
}
_HALVES = [list(FAULTS)[::2], list(FAULTS)[1::2]]


@pytest.mark.parametrize("names", _HALVES)
def test_no_failure_of_the_store_loses_or_doubles_anything(rig: Rig, names: list[str]) -> None:
    rig.start()
    rig.ready()
    for name in names:
        tries = rig.said().count("tried again in")
        rig.proxy.fault = FAULTS[name]
        # Twice a failure that it knows of: a slow answer is one when its time is over.
        rig.until(lambda tries=tries: rig.said().count("tried again in") > tries + 1, name)  # type: ignore[misc]
        stored = len(rig.custody.stored)
        rig.proxy.fault = None
        rig.until(lambda stored=stored: len(rig.custody.stored) > stored, f"{name}: it goes on")  # type: ignore[misc]
    rig.writer.stop()
    rig.end()
    rig.account()


def test_a_store_that_refuses_connections_and_a_kill_then_lose_nothing(rig: Rig) -> None:
    rig.start(STORAGE_EMULATOR_HOST=f"http://127.0.0.1:{faultproxy.closed_port()}")
    rig.until(lambda: rig.said().count("tried again in") >= 3, "it tries")
    rig.kill()
    rig.start()
    rig.writer.stop()
    rig.end()
    rig.account()


@pytest.mark.parametrize("fault", ["stored, and no answer", "stored, and 500"])
def test_a_kill_after_an_answer_was_lost_doubles_nothing(rig: Rig, fault: str) -> None:
    rig.proxy.fault = FAULTS[fault]
    rig.start()
    rig.until(lambda: rig.custody.stored, "it stores, and does not know")
    rig.kill()
    assert list(rig.spool.rglob("*.json")), "nothing is deleted without an answer"
    rig.proxy.fault = None
    rig.start()
    rig.writer.stop()
    rig.end()
    rig.account()
