"""What every store must hold, run against each: compare-and-set, two owners of one record, history, locks."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from services.epoxy import errors, locks, records, sessions, store
from tests import epoxy_service
from tests.epoxy_store.values import boot, booting, changed, desired, seeing

pytestmark = pytest.mark.xdist_group("epoxy-store")
NAME, OTHER = epoxy_service.name(1), epoxy_service.name(2)
Connect = Callable[[], store.Store]


def test_a_record_is_created_once_and_read_back_whole(hosts: store.Store) -> None:
    assert hosts.get(NAME) is None and hosts.state(NAME) is None and hosts.boots(NAME, 5) == []
    mark = {"owner": "mlab", "env": "sandbox", "scope": "sandbox/epoxy", "source": "config/x.yaml", "commit": ""}
    wanted = desired(Owner=mark, Callers=["2001:db8::/64"], Protect=True, Extensions=["allocate_k8s_token"])
    made = hosts.put(wanted, expected=None)
    assert made == records.Host(wanted, records.Observed(), made.revision)
    assert hosts.get(NAME) == made
    with pytest.raises(store.Moved) as moved:
        hosts.put(wanted, expected=None)
    assert (moved.value.expected, moved.value.current) == (None, made.revision)


def test_a_write_needs_the_revision_that_is_there(hosts: store.Store) -> None:
    first = hosts.put(desired(), expected=None)
    second = hosts.put(desired(ImagesVersion="v2"), expected=first.revision)
    assert second.revision > first.revision
    for expected in (first.revision, second.revision + 1, None):
        with pytest.raises(store.Moved) as moved:
            hosts.put(desired(ImagesVersion="v3"), expected=expected)
        assert moved.value.current == second.revision
    with pytest.raises(store.Moved) as moved:
        hosts.put(desired(OTHER), expected=second.revision)
    assert moved.value.current is None and hosts.get(OTHER) is None
    assert hosts.get(NAME) == second


def test_what_is_the_same_already_keeps_its_revision(hosts: store.Store) -> None:
    first = hosts.put(desired(), expected=None)
    assert hosts.put(desired(), expected=first.revision) == first
    with pytest.raises(store.Moved):
        hosts.put(desired(), expected=first.revision + 1)


def test_a_revision_is_never_given_twice(hosts: store.Store) -> None:
    given = [hosts.put(desired(), expected=None).revision]
    hosts.delete(NAME, expected=given[-1])
    given.append(hosts.put(desired(), expected=None).revision)
    given.append(hosts.put(desired(OTHER), expected=None).revision)
    assert given == sorted(set(given))


def test_a_deletion_needs_the_revision_and_no_protection(hosts: store.Store) -> None:
    with pytest.raises(store.Absent):
        hosts.delete(NAME, expected=1)
    made = hosts.put(desired(Protect=True), expected=None)
    with pytest.raises(store.Moved):
        hosts.delete(NAME, expected=made.revision + 1)
    with pytest.raises(store.Protected):
        hosts.delete(NAME, expected=made.revision)
    free = hosts.put(desired(), expected=made.revision)
    hosts.delete(NAME, expected=free.revision)
    assert hosts.get(NAME) is None


def test_a_deleted_host_leaves_nothing_for_a_new_one_of_its_name(hosts: store.Store) -> None:
    made = hosts.put(desired(), expected=None)
    changed(hosts, NAME, seeing(last_success_ns=5, update_enabled=True))
    changed(hosts, NAME, booting(boot()))
    hosts.delete(NAME, expected=made.revision)
    again = hosts.put(desired(), expected=None)
    assert again.observed == records.Observed()
    assert hosts.boots(NAME, 9) == [] and hosts.state(NAME) == sessions.State(again, None)


def test_pages_are_in_the_order_of_names_byte_by_byte(hosts: store.Store) -> None:
    names = [
        f"{label}.measurement-lab.test" for label in ("mlab1-lga05", "mlab1-lga0t", "mlab10", "mlab1", "a-b", "ab")
    ]
    for name in names:
        hosts.put(desired(name), expected=None)
    ordered = sorted(names)
    assert [host.desired.name for host in hosts.page("", 9)] == ordered
    assert [host.desired.name for host in hosts.page(ordered[1], 2)] == ordered[2:4]
    assert hosts.page(ordered[-1], 5) == []
    assert [row.name for row in hosts.boot_times()] == ordered


def test_neither_owner_writes_the_other_s_half(hosts: store.Store) -> None:
    made = hosts.put(desired(), expected=None)

    def overreaching(state: sessions.State) -> sessions.State:
        host = records.Host(desired(ImagesVersion="evil"), records.Observed(last_report_ns=7), revision=99)
        return sessions.State(host, None)

    changed(hosts, NAME, overreaching)
    found = hosts.get(NAME)
    assert found == records.Host(made.desired, records.Observed(last_report_ns=7), made.revision)
    wanted = desired(ImagesVersion="v9")
    again = hosts.put(wanted, expected=made.revision)
    assert hosts.get(NAME) == again == records.Host(wanted, records.Observed(last_report_ns=7), again.revision)


@pytest.mark.parametrize(
    "seen",
    [
        {"update_enabled": True},
        {"current_session_ids": dict.fromkeys(records.SESSION_KEYS, "0" * 64)},
        {"last_session_creation_ns": 2**62, "last_report_ns": 1, "last_success_ns": 1_795_000_000_123_456_789},
        {"collected_information": {"mac": "52:54:00:12:34:56", "serial": ""}},
        {"collected_information": {"nul": "a\0b", "words": "naïve ☃ 🛰", "quotes": "'\"\\;--", "percent": "%s %(x)s"}},
        {"next_boot": records.NextBoot("update", "v2", 5, 2**61)},
    ],
    ids="+".join,
)
def test_what_the_server_saw_is_read_back_whole(hosts: store.Store, seen: dict[str, Any]) -> None:
    hosts.put(desired(), expected=None)
    after = changed(hosts, NAME, seeing(**seen))
    found = hosts.get(NAME)
    assert found is not None and found.observed == after.host.observed == records.Observed(**seen)
    changed(hosts, NAME, seeing(**dataclasses.asdict(records.Observed())))
    assert changed(hosts, NAME, lambda state: state).host.observed == records.Observed()


def test_a_boot_is_kept_whole_and_grows(hosts: store.Store) -> None:
    hosts.put(desired(), expected=None)
    told = sessions.Report(7, "error: ☃\0", {"debug.config": "{}"})
    first = boot(1, reports=(told,), uses={"Stage2ID": 3}, extensions={"allocate_k8s_token": 1})
    changed(hosts, NAME, booting(first))
    assert hosts.boots(NAME, 5) == [first]
    later = dataclasses.replace(first, stage=sessions.Stage.DONE, reached_ns={sessions.Stage.DONE: 9})
    changed(hosts, NAME, booting(later))
    changed(hosts, NAME, booting(boot(2)))
    assert hosts.boots(NAME, 5) == [boot(2), later] and hosts.boots(NAME, 1) == [boot(2)]
    state = hosts.state(NAME)
    assert state is not None and state.boot == boot(2) and state.recent_ns == (boot(2).began_ns, boot(1).began_ns)


def test_the_oldest_boots_make_room(hosts: store.Store) -> None:
    hosts.put(desired(), expected=None)
    for number in range(1, store.KEPT_BOOTS + 3):
        changed(hosts, NAME, booting(boot(number)))
    numbers = [one.number for one in hosts.boots(NAME, 999)]
    assert numbers == list(range(store.KEPT_BOOTS + 2, 2, -1))
    state = hosts.state(NAME)
    assert state is not None and state.recent_ns == tuple(boot(number).began_ns for number in numbers)


def test_times_of_all_hosts_tell_how_far_their_latest_boot_has_come(hosts: store.Store) -> None:
    hosts.put(desired(), expected=None)
    hosts.put(desired(OTHER, Retired=True), expected=None)
    changed(hosts, NAME, seeing(last_session_creation_ns=3, last_success_ns=4))
    changed(hosts, NAME, booting(boot(1, stage=sessions.Stage.DONE)))
    changed(hosts, NAME, booting(boot(2, stage=sessions.Stage.STAGE2)))
    assert hosts.boot_times() == [
        records.BootTimes(NAME, False, 3, 4, "stage2"),
        records.BootTimes(OTHER, True, 0, 0, ""),
    ]


def test_one_batch_answers_each_in_its_order_and_keeps_what_was_refused_out(hosts: store.Store) -> None:
    for name in (NAME, OTHER):
        hosts.put(desired(name), expected=None)

    def refuse(state: sessions.State) -> sessions.State:
        raise sessions.Refused("id", "no")

    gone = epoxy_service.name(9)
    wanted = [(OTHER, seeing(last_report_ns=1)), (NAME, refuse), (gone, refuse), (NAME, seeing(last_success_ns=2))]
    results = hosts.change(wanted)
    assert [type(result) for result in results] == [sessions.State, sessions.Refused, store.Absent, sessions.State]
    found = {host.desired.name: host.observed for host in hosts.page("", 9)}
    assert found == {NAME: records.Observed(last_success_ns=2), OTHER: records.Observed(last_report_ns=1)}
    assert hosts.change([]) == []


def test_the_same_host_twice_in_one_batch_sees_what_the_first_left(hosts: store.Store) -> None:
    hosts.put(desired(), expected=None)
    seen: list[sessions.State] = []

    def more(state: sessions.State) -> sessions.State:
        seen.append(state)
        number = 1 if state.boot is None else state.boot.number + 1
        observed = records.Observed(last_report_ns=state.host.observed.last_report_ns + 1)
        return sessions.State(dataclasses.replace(state.host, observed=observed), boot(number))

    hosts.change([(NAME, more)] * 3)
    assert [state.host.observed.last_report_ns for state in seen] == [0, 1, 2]
    assert [state.boot for state in seen] == [None, boot(1), boot(2)]
    assert [state.recent_ns for state in seen] == [
        tuple(boot(number).began_ns for number in range(last, 0, -1)) for last in range(3)
    ]
    assert hosts.boots(NAME, 9) == [boot(3), boot(2), boot(1)]


def test_a_change_that_changes_nothing_and_one_without_a_boot_leave_everything(hosts: store.Store) -> None:
    hosts.put(desired(), expected=None)
    changed(hosts, NAME, booting(boot(4)))
    before = hosts.state(NAME)
    changed(hosts, NAME, lambda state: state)
    changed(hosts, NAME, lambda state: sessions.State(state.host, None))
    assert hosts.state(NAME) == before and hosts.boots(NAME, 9) == [boot(4)]


@contextmanager
def at_once(count: int, work: Callable[[int], None]) -> Iterator[None]:
    """Runs the work in threads that begin together; what one raises is raised."""
    begin, failures = threading.Barrier(count), list[BaseException]()

    def run(number: int) -> None:
        try:
            begin.wait()
            work(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join()
    assert failures == []


def test_of_many_that_create_or_write_at_once_one_succeeds(connect: Connect) -> None:
    stores, won = [connect(), connect()], list[int]()

    def create(number: int) -> None:
        try:
            won.append(stores[number % 2].put(desired(ImagesVersion=f"v{number}"), expected=None).revision)
        except store.Moved as moved:
            assert moved.current is not None

    def write(number: int) -> None:
        try:
            won.append(stores[number % 2].put(desired(ImagesVersion=f"w{number}"), expected=won[0]).revision)
        except store.Moved as moved:
            assert moved.current is not None and moved.current > won[0]

    with at_once(6, create):
        pass
    assert len(won) == 1
    with at_once(6, write):
        pass
    assert len(won) == 2 and won[1] > won[0]


def test_both_owners_and_many_servers_at_once_lose_nothing(connect: Connect) -> None:
    """Boots of two hosts in batches of either order, while an administrator writes and a third host comes and goes."""
    stores, third = [connect(), connect()], epoxy_service.name(3)
    revisions = {name: stores[0].put(desired(name), expected=None).revision for name in (NAME, OTHER)}

    def count(state: sessions.State) -> sessions.State:
        observed = records.Observed(last_report_ns=state.host.observed.last_report_ns + 1)
        number = 1 if state.boot is None else state.boot.number + 1
        return sessions.State(dataclasses.replace(state.host, observed=observed), boot(number))

    def work(number: int) -> None:
        hosts = stores[number % 2]
        for turn in range(8):
            if number == 0:
                revisions[NAME] = hosts.put(desired(ImagesVersion=f"v{turn}"), expected=revisions[NAME]).revision
            elif number == 1:
                made = hosts.put(desired(third), expected=None)
                hosts.delete(third, expected=made.revision)
            else:
                names = (NAME, OTHER, third) if number % 2 else (third, OTHER, NAME)
                results = hosts.change([(name, count) for name in names])
                assert all(isinstance(result, (sessions.State, store.Absent)) for result in results)

    with at_once(6, work):
        pass
    for name in (NAME, OTHER):
        state = stores[0].state(name)
        assert state is not None and state.boot is not None
        assert (state.host.observed.last_report_ns, state.boot.number) == (32, 32)
    found = stores[1].get(NAME)
    assert found is not None and (found.desired.images_version, found.revision) == ("v7", revisions[NAME])


def holder(identity: str, expires_s: float = 100.0) -> locks.Lock:
    return locks.Lock("sandbox/epoxy", identity, "somebody", "https://runs.test/1", "2026-11-25T12:00:00Z", expires_s)


def test_a_lock_is_one_row_that_a_function_decides_about(hosts: store.Store) -> None:
    scope = "sandbox/epoxy"
    assert hosts.lock(scope) is None
    assert hosts.change_lock(scope, lambda current: holder("a", 1.25)) == holder("a", 1.25) == hosts.lock(scope)
    seen: list[locks.Lock | None] = []

    def refuse(current: locks.Lock | None) -> locks.Lock:
        seen.append(current)
        raise errors.ApiError(409, "lock.held", "held")

    with pytest.raises(errors.ApiError):
        hosts.change_lock(scope, refuse)
    assert seen == [holder("a", 1.25)] and hosts.lock(scope) == holder("a", 1.25)
    assert hosts.lock("sandbox/other") is None
    assert hosts.change_lock(scope, lambda current: None) is None and hosts.lock(scope) is None


def test_of_many_that_take_a_lock_at_once_one_gets_it(connect: Connect) -> None:
    stores, got = [connect(), connect()], list[str]()

    def take(number: int) -> None:
        def change(current: locks.Lock | None) -> locks.Lock:
            if current is not None:
                raise errors.ApiError(409, "lock.held", "held")
            return holder(f"holder-{number}")

        try:
            stores[number % 2].change_lock("sandbox/epoxy", change)
            got.append(f"holder-{number}")
        except errors.ApiError:
            pass

    with at_once(8, take):
        pass
    found = stores[0].lock("sandbox/epoxy")
    assert found is not None and got == [found.identity]


def test_what_one_connection_wrote_every_other_reads_also_after_a_restart(connect: Connect) -> None:
    first, second = connect(), connect()
    made = first.put(desired(), expected=None)
    changed(first, NAME, booting(boot()))
    assert second.get(NAME) == made and second.boots(NAME, 5) == [boot()]
    changed(second, NAME, seeing(update_enabled=True))
    third = connect()
    found = third.state(NAME)
    assert found is not None and found.host.observed.update_enabled and found.boot == boot()
    for one in (first, second, third):
        one.check()


def test_many_that_open_a_new_database_at_once_make_one_schema(connect: Connect) -> None:
    opened: list[store.Store] = []
    with at_once(4, lambda number: opened.append(connect())):
        pass
    assert len(opened) == 4 and opened[0].put(desired(), expected=None) == opened[3].get(NAME)
