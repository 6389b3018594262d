"""The session machine as pure functions: what an id opens, for how long, how often, and what ends it."""

from __future__ import annotations

import dataclasses
import re
import statistics
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.epoxy import beginning, callers, records, sessions
from services.epoxy.sessions import Stage

HERE, ELSEWHERE = "198.18.5.11", "198.18.5.12"
POLICY = sessions.Policy()
SECOND_NS = 1_000_000_000
BEGAN_NS = 1_800_000_000 * SECOND_NS
IDS = sessions.draw(bytes(range(80)))
URLS = dict.fromkeys(records.SEQUENCE_KEYS, "https://images.test/{{VERSION}}/a")
ADDRESS = callers.parse(HERE)
assert ADDRESS is not None


def state(**observed: object) -> sessions.State:
    desired = records.Desired(
        name="a.test",
        ipv4_addr=HERE,
        boot=URLS,
        update={key: f"{url}/update" for key, url in URLS.items()},
        images_version="v1",
        extensions=("join",),
        retired=False,
        protect=False,
        owner=None,
    )
    return sessions.State(records.Host(desired, records.Observed(**observed), 1), None)  # type: ignore[arg-type]


def begun(before: sessions.State | None = None, now_ns: int = BEGAN_NS) -> sessions.State:
    assert ADDRESS is not None
    return beginning.begin(before or state(), beginning.Call("ipxe", ADDRESS, now_ns, IDS))


def enter(boot: sessions.Boot | None, stage: Stage, now_ns: int = BEGAN_NS, **changes: str) -> sessions.Boot:
    identity = changes.get("identity", IDS["Stage2ID" if stage is Stage.STAGE2 else "Stage3ID"])
    return sessions.enter(boot, stage, identity, changes.get("address", HERE), now_ns=now_ns, policy=POLICY)


def report(boot: sessions.Boot | None, message: str, now_ns: int = BEGAN_NS) -> tuple[sessions.Boot, bool]:
    told = sessions.Report(now_ns, message)
    return sessions.report(boot, IDS["ReportID"], HERE, told, now_ns=now_ns, policy=POLICY)


def extend(boot: sessions.Boot | None, *stages: Stage, now_ns: int = BEGAN_NS) -> sessions.Boot:
    return sessions.extend(boot, IDS["ExtensionID"], HERE, "join", frozenset(stages), now_ns=now_ns, policy=POLICY)


def at(stage: Stage) -> sessions.Boot:
    """A boot that has come so far."""
    boot = begun().boot
    assert boot is not None
    if stage is not Stage.STAGE1:
        boot = enter(boot, Stage.STAGE2)
    if stage in (Stage.STAGE3, Stage.DONE):
        boot = enter(boot, Stage.STAGE3)
    return report(boot, "success")[0] if stage is Stage.DONE else boot


def refused(act: Callable[[], object]) -> str:
    with pytest.raises(sessions.Refused) as caught:
        act()
    assert caught.value.status == 403
    assert caught.value.text.startswith((sessions.WRONG_ID, sessions.WRONG_CALLER))
    return caught.value.reason


def refused_text(act: Callable[[], object]) -> str:
    with pytest.raises(sessions.Refused) as caught:
        act()
    return caught.value.text


def test_ids_are_of_the_original_form() -> None:
    assert sessions.draw(b"\1" * 80)["Stage2ID"] == "AQEBAQEBAQEBAQEBAQEBAQEBAQE"
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{27}", identity) for identity in IDS.values())
    with pytest.raises(ValueError, match="20 bytes"):
        sessions.draw(b"1")


@pytest.mark.parametrize(
    ("stage", "asked", "reason"),
    [
        (Stage.STAGE1, Stage.STAGE2, None),
        (Stage.STAGE1, Stage.STAGE3, "stage-early"),
        (Stage.STAGE2, Stage.STAGE2, None),
        (Stage.STAGE2, Stage.STAGE3, None),
        (Stage.STAGE3, Stage.STAGE2, "stage-over"),
        (Stage.STAGE3, Stage.STAGE3, None),
        (Stage.DONE, Stage.STAGE2, "stage-over"),
        (Stage.DONE, Stage.STAGE3, "stage-over"),
    ],
)
def test_a_stage_may_be_repeated_or_left_for_the_next_one_and_no_way_leads_back(
    stage: Stage, asked: Stage, reason: str | None
) -> None:
    boot = at(stage)
    if reason is None:
        assert enter(boot, asked).stage is asked
    else:
        assert refused(lambda: enter(boot, asked)) == reason


@pytest.mark.parametrize("stage", list(Stage))
def test_a_success_counts_in_stage3_alone(stage: Stage) -> None:
    boot = at(stage)
    if stage is Stage.STAGE3:
        assert report(boot, "success")[0].stage is Stage.DONE
    elif stage is Stage.DONE:
        assert report(boot, "success") == (dataclasses.replace(boot, uses={**boot.uses, "ReportID": 2}), False)
    else:
        assert refused(lambda: report(boot, "success")) == "stage-early"


def test_errors_may_be_reported_until_the_success_and_the_success_again_for_five_minutes() -> None:
    for stage in (Stage.STAGE1, Stage.STAGE2, Stage.STAGE3):
        boot, success = report(at(stage), "error: x")
        assert (boot.stage, success, boot.reports[-1].message) == (stage, False, "error: x")
    done = at(Stage.DONE)
    assert refused(lambda: report(done, "error: late")) == "boot-over"
    report(done, "success", BEGAN_NS + sessions.SUCCESS_REPEAT_S * SECOND_NS)
    assert refused(lambda: report(done, "success", BEGAN_NS + 301 * SECOND_NS)) == "boot-over"


@pytest.mark.parametrize("stage", [Stage.STAGE1, Stage.STAGE2, Stage.STAGE3])
@pytest.mark.parametrize(("seconds", "open_"), [(0, True), (7200, True), (7201, False), (-1, False)])
def test_every_id_ends_120_minutes_after_stage1(stage: Stage, seconds: int, open_: bool) -> None:
    boot, now_ns = at(stage), BEGAN_NS + seconds * SECOND_NS
    acts: list[Callable[[], object]] = [
        lambda: report(boot, "error: x", now_ns),
        lambda: extend(boot, stage, now_ns=now_ns),
        lambda: enter(boot, stage if stage is not Stage.STAGE1 else Stage.STAGE2, now_ns),
    ]
    for act in acts:
        if open_:
            act()
        else:
            assert refused(act) == "expired"


def test_an_id_opens_its_stage_and_150_repeats() -> None:
    boot = at(Stage.STAGE2)
    for _ in range(POLICY.repeats):
        boot = enter(boot, Stage.STAGE2)
    assert refused(lambda: enter(boot, Stage.STAGE2)) == "repeats"
    assert enter(boot, Stage.STAGE3).stage is Stage.STAGE3, "the next stage is not used up by it"
    boot = at(Stage.STAGE3)
    for _ in range(POLICY.repeats + 1):
        boot = extend(boot, Stage.STAGE3)
    assert refused(lambda: extend(boot, Stage.STAGE3)) == "repeats"


@pytest.mark.parametrize("key", records.SESSION_KEYS)
@pytest.mark.parametrize("other", ["", "x", "ü\udcff", *records.SESSION_KEYS])
def test_each_id_opens_its_own_door_alone(key: str, other: str) -> None:
    boot = at(Stage.STAGE3)
    identity = IDS.get(other, other)
    doors: dict[str, Callable[[], object]] = {
        "Stage2ID": lambda: enter(at(Stage.STAGE2), Stage.STAGE2, identity=identity),
        "Stage3ID": lambda: enter(boot, Stage.STAGE3, identity=identity),
        "ReportID": lambda: sessions.report(
            boot, identity, HERE, sessions.Report(BEGAN_NS, "error"), now_ns=BEGAN_NS, policy=POLICY
        ),
        "ExtensionID": lambda: sessions.extend(
            boot, identity, HERE, "join", frozenset({Stage.STAGE3}), now_ns=BEGAN_NS, policy=POLICY
        ),
    }
    if other == key:
        doors[key]()
    else:
        assert refused(doors[key]) == "id"


@pytest.mark.parametrize("identity", ["", IDS["Stage2ID"]])
def test_without_a_boot_nothing_opens_and_the_empty_id_neither(identity: str) -> None:
    assert refused(lambda: enter(None, Stage.STAGE2, identity=identity)) == "id"


def test_an_id_is_bound_to_the_address_that_asked_stage1() -> None:
    assert refused(lambda: enter(at(Stage.STAGE1), Stage.STAGE2, address=ELSEWHERE)) == "address-moved"


def test_the_comparison_takes_as_long_for_a_guess_that_begins_right() -> None:
    """Processor time of near and far guesses in turns; what differs is their common length with the digest kept."""
    boot, identity = at(Stage.STAGE1), IDS["Stage2ID"]
    guesses = {"near": identity[:-1] + ("A" if identity[-1] != "A" else "B"), "far": "A" * 27}
    took: dict[str, list[int]] = {name: [] for name in guesses}
    for turn in range(3000):
        for name in sorted(guesses, reverse=bool(turn % 2)):
            before = time.thread_time_ns()
            with pytest.raises(sessions.Refused):
                enter(boot, Stage.STAGE2, identity=guesses[name])
            took[name].append(time.thread_time_ns() - before)
    near, far = (statistics.median(sorted(took[name])[: len(took[name]) // 2]) for name in ("near", "far"))
    assert abs(near - far) < 0.1 * min(near, far), (near, far)


def test_the_digest_that_is_compared_shares_nothing_with_a_near_guess() -> None:
    near = IDS["Stage2ID"][:-1] + "A"
    common = [a == b for a, b in zip(sessions.digest(near), sessions.digest(IDS["Stage2ID"]), strict=True)]
    assert not all(common[:4])


@pytest.mark.parametrize(
    ("flag", "order", "now_s", "sequence", "version"),
    [
        (False, None, 0, "boot", "v1"),
        (True, None, 0, "update", "v1"),
        (False, records.NextBoot("update", "", BEGAN_NS, BEGAN_NS + SECOND_NS), 0, "update", "v1"),
        (True, records.NextBoot("boot", "v9", BEGAN_NS, BEGAN_NS + SECOND_NS), 0, "boot", "v9"),
        (True, records.NextBoot("boot", "v9", BEGAN_NS, BEGAN_NS + SECOND_NS), 1, "update", "v1"),
    ],
)
def test_the_sequence_is_chosen_at_stage1(
    flag: bool, order: records.NextBoot | None, now_s: int, sequence: str, version: str
) -> None:
    after = begun(state(update_enabled=flag, next_boot=order), BEGAN_NS + now_s * SECOND_NS)
    assert after.boot is not None
    assert (after.boot.sequence, after.boot.version) == (sequence, version)
    suffix = "/update" if sequence == "update" else ""
    assert after.boot.chain["stage2"] == f"https://images.test/{version}/a{suffix}"


def test_an_order_for_one_boot_is_used_up_once_the_machine_has_it() -> None:
    order = records.NextBoot("update", "", BEGAN_NS - 1, BEGAN_NS + 3600 * SECOND_NS)
    after = begun(state(next_boot=order))
    assert after.host.observed.next_boot == order, "the answer may have been lost"
    again = begun(after, BEGAN_NS + 1)
    assert again.boot is not None and again.boot.sequence == "update"
    entered = beginning.entered(again, enter(again.boot, Stage.STAGE2, BEGAN_NS + 2))
    assert entered.host.observed.next_boot is None


@pytest.mark.parametrize(("sequence", "after"), [("update", False), ("boot", True)])
def test_only_the_success_of_the_update_clears_the_update_flag(sequence: str, after: bool) -> None:
    before = state(update_enabled=True)
    boot = dataclasses.replace(at(Stage.STAGE3), sequence=sequence)
    told, success = report(boot, "success")
    observed = beginning.reported(before, told, success=success, now_ns=BEGAN_NS).host.observed
    assert (observed.update_enabled, observed.last_success_ns) == (after, BEGAN_NS)


def test_the_21st_boot_within_10_minutes_is_refused_until_the_first_is_older() -> None:
    recent = tuple(BEGAN_NS - second * SECOND_NS for second in range(20))
    full = dataclasses.replace(state(), recent_ns=recent)
    with pytest.raises(sessions.Refused) as caught:
        beginning.admit(full, ADDRESS, POLICY, BEGAN_NS)
    assert (caught.value.reason, caught.value.status, caught.value.retry_after_s) == ("stage1-rate", 429, 581)
    beginning.admit(full, ADDRESS, POLICY, BEGAN_NS + 581 * SECOND_NS)
    beginning.admit(dataclasses.replace(full, recent_ns=recent[1:]), ADDRESS, POLICY, BEGAN_NS)


ACTS = st.sampled_from(["stage1", "stage2", "stage3", "error", "success", "extend", "wait"])


@settings(max_examples=200)
@given(st.lists(ACTS, max_size=30))
def test_whatever_is_asked_in_whatever_order_no_boot_ever_goes_back(acts: list[str]) -> None:
    now_ns, here = BEGAN_NS, state()
    for act in acts:
        now_ns += SECOND_NS
        before = here.boot
        try:
            if act == "stage1":
                here = begun(here, now_ns)
                assert here.boot is not None and here.boot.number == (1 if before is None else before.number + 1)
            elif act in ("stage2", "stage3"):
                here = beginning.entered(here, enter(before, Stage(act), now_ns))
            elif act in ("error", "success"):
                told, success = report(before, act, now_ns)
                here = beginning.reported(here, told, success=success, now_ns=now_ns)
            elif act == "extend":
                here = dataclasses.replace(here, boot=extend(before, Stage.STAGE3, now_ns=now_ns))
            else:
                now_ns += 3600 * SECOND_NS
        except sessions.Refused:
            assert here.boot is before
        if before is not None and here.boot is not None and here.boot.number == before.number:
            order = list(Stage)
            assert order.index(here.boot.stage) - order.index(before.stage) in (0, 1)
        assert here.boot is None or here.boot.stage is not Stage.DONE or here.host.observed.last_success_ns


@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted", "expected"),
    [
        ("198.18.0.1", [], "", "198.18.0.1"),
        ("198.18.0.1", ["198.18.5.11"], "", "198.18.0.1"),
        ("198.18.0.1", ["198.18.5.11"], "10.0.0.0/8", "198.18.0.1"),
        ("10.0.0.1", ["198.18.5.11"], "10.0.0.0/8", "198.18.5.11"),
        ("10.0.0.1", ["198.18.9.9, 198.18.5.11"], "10.0.0.0/8", "198.18.5.11"),
        ("10.0.0.1", ["198.18.9.9", "198.18.5.11, 10.0.0.2"], "10.0.0.0/8", "198.18.5.11"),
        ("10.0.0.1", [], "10.0.0.0/8", "10.0.0.1"),
        ("10.0.0.1", ["nonsense"], "10.0.0.0/8", None),
        ("10.0.0.1", [""], "10.0.0.0/8", None),
        ("10.0.0.1", [", ".join(["10.0.0.1"] * 11)], "10.0.0.0/8", None),
        ("::ffff:198.18.0.1", [], "", "198.18.0.1"),
        ("2001:DB8:0::1", [], "", "2001:db8::1"),
        ("2001:db8::5", ["2001:0db8::7"], "2001:db8::/127, 2001:db8::5", "2001:db8::7"),
        ("fe80::1%eth0", [], "", None),
        ("", [], "", None),
    ],
)
def test_the_caller_is_the_right_most_hop_that_is_not_trusted(
    peer: str, forwarded: list[str], trusted: str, expected: str | None
) -> None:
    found = callers.caller(peer, forwarded, callers.networks(trusted))
    assert (None if found is None else str(found)) == expected


@pytest.mark.parametrize(
    ("address", "allowed"),
    [("198.18.5.11", True), ("198.18.5.12", False), ("2001:db8::99", True), ("2001:db9::1", False), ("10.0.0.7", True)],
)
def test_a_record_may_name_addresses_and_prefixes_of_both_families(address: str, allowed: bool) -> None:
    desired = dataclasses.replace(state().host.desired, callers=("2001:db8::/64", "10.0.0.7"))
    found = callers.parse(address)
    assert found is not None and callers.allowed(found, desired) is allowed
