"""Who asks out of turn, with an id that is not his, too late, too often or from elsewhere."""

from __future__ import annotations

import pytest

from tests.epoxy import machine
from tests.epoxy_attacks.scene import (
    OPERATION,
    Row,
    Scene,
    after,
    at,
    done,
    expect_refused,
    old,
    others,
    repeated,
    with_id,
)
from tests.epoxy_service import Service

ROWS: dict[str, Row] = {
    "stage2 again after stage3": (at("stage2"), 403, "stage-over"),
    "stage2 of an older boot": (old("stage2"), 403, "id"),
    "stage3 of an older boot": (old("stage3"), 403, "id"),
    "the report of an older boot": (old("report"), 403, "id"),
    "a token of an older boot": (old(OPERATION), 403, "id"),
    "stage3 of another host": (others("stage3"), 403, "id"),
    "the report of another host": (others("report"), 403, "id"),
    "a token of another host": (others(OPERATION), 403, "id"),
    "the report by the id of stage3": (with_id("report", "stage3"), 403, "id"),
    "stage3 by the id of the report": (with_id("stage3", "report"), 403, "id"),
    "a token by the id of stage3": (with_id(OPERATION, "stage3"), 403, "id"),
    "a token by the id of the report": (with_id(OPERATION, "report"), 403, "id"),
    "stage3 after 121 minutes": (after(7260, "stage3"), 403, "expired"),
    "the report after 121 minutes": (after(7260, "report"), 403, "expired"),
    "a token after 121 minutes": (after(7260, OPERATION), 403, "expired"),
    "stage3 of a boot from the future": (after(-3600, "stage3"), 403, "expired"),
    "stage3 after 150 repeats": (repeated("stage3", 151), 403, "repeats"),
    "a report after 150 repeats": (repeated("report", 151), 403, "repeats"),
    "a token after 150 repeats": (repeated(OPERATION, 151), 403, "repeats"),
    "stage1 from another address": (
        lambda s: s.host.call(s.host.path("stage1.ipxe"), address="198.18.200.1"),
        403,
        "address",
    ),
    "stage3 from another address": (lambda s: s.host.ask("stage3", address="198.18.200.1"), 403, "address"),
    "the report from another address": (lambda s: s.host.ask("report", address="198.18.200.1"), 403, "address"),
    "a token from another address": (lambda s: s.host.ask(OPERATION, address="198.18.200.1"), 403, "address"),
    "a forged hop before the real one": (
        lambda s: s.host.ask("stage3", address=f"{s.host.address}, 198.18.200.1"),
        403,
        "address",
    ),
    "a hop that is no address": (lambda s: s.host.ask("stage3", address="localhost"), 403, "address"),
    "eleven hops": (lambda s: s.host.ask("stage3", address=", ".join([s.host.address] * 11)), 403, "address"),
    "a forged Forwarded": (
        lambda s: s.host.ask(
            "stage3",
            address="198.18.200.1",
            headers={"Forwarded": f"for={s.host.address}", "X-Real-IP": s.host.address},
        ),
        403,
        "address",
    ),
}
OVER: dict[str, Row] = {
    "stage2 after the success": (done("stage2"), 403, "stage-over"),
    "stage3 after the success": (done("stage3"), 403, "stage-over"),
    "a token after the success": (done(OPERATION), 403, "boot-over"),
    "an error report after the success": (done("report", data={"message": "error: x"}), 403, "boot-over"),
}


@pytest.mark.parametrize("row", ROWS)
def test_who_may_not_ask_now_is_refused_counted_and_logged_without_a_secret(
    service: Service, scene: Scene, row: str
) -> None:
    expect_refused(service, scene, ROWS[row])


@pytest.mark.parametrize("row", OVER)
def test_a_boot_that_is_over_gives_nothing_more(service: Service, scene: Scene, row: str) -> None:
    expect_refused(service, scene, OVER[row], changes=True)


def test_calls_from_elsewhere_use_none_of_a_hosts_boots_up(service: Service) -> None:
    host = machine.made(service)
    assert {host.call(host.path("stage1.ipxe"), address="198.18.200.7").status_code for _ in range(30)} == {403}
    assert host.stage1().status_code == 200
