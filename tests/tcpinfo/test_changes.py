"""When a snapshot is due: what counts as a change of a socket, and what merely tells time."""

from __future__ import annotations

import pytest

from node.tcpinfo import changes, netlink
from tests.tcpinfo import messages
from tests.tcpinfo.messages import info, message

BASE = {7: bytes(36), 2: info(), 4: b"cubic\0"}


def changed(before: bytes, after: bytes) -> bool:
    """Whether the second dump has news of the first one's socket; among others, and alone."""
    answers = []
    for others in ([], [message(8, BASE)], [message(9, {8: b"\0"})]):
        known = changes.Changes()
        known.of([b"".join([before, *others])])
        found = known.of([b"".join([after, *others])])
        assert found in ([], [(1, after)])
        answers.append(bool(found))
    assert len(set(answers)) == 1
    return answers[0]


@pytest.mark.parametrize("offset", [0, 10, 43, 60, 120, 167])
def test_what_a_connection_does_is_a_change(offset: int) -> None:
    assert changed(message(1, BASE), message(1, {**BASE, 2: info({offset: b"\1"})}))


@pytest.mark.parametrize("offset", [44, 50, 59, 168, 200, 279])
def test_what_tells_time_is_none(offset: int) -> None:
    assert not changed(message(1, BASE), message(1, {**BASE, 2: info({offset: b"\1"})}))


@pytest.mark.parametrize(
    "after",
    [
        message(1, BASE, state=4),
        message(1, {**BASE, 4: b"reno\0\0"}),
        message(1, {**BASE, 7: b"\1" + bytes(35)}),
        message(1, {**BASE, 8: b"\0"}),
        message(1, {7: bytes(36), 4: b"cubic\0"}),
        message(1, {7: bytes(36), 2: info(size=232), 4: b"cubic\0"}),
        message(1, {}),
        message(1, {**BASE, 5: b"\0" * 200}),
    ],
)
def test_state_and_attributes_are_changes_when_they_come_and_when_they_go(after: bytes) -> None:
    assert changed(message(1, BASE), after)
    assert changed(after, message(1, BASE))


def test_timers_and_queues_of_the_header_are_none() -> None:
    assert not changed(message(1, BASE), message(1, BASE, expires=77))


@pytest.mark.parametrize("size", [0, 8, 44, 50, 60, 100, 168, 192, 400])
def test_tcp_info_of_any_kernel_is_compared(size: int) -> None:
    before = message(1, {2: info(size=size)})
    for offset in {0, 43, 44, 59, 60, 167, 168} & set(range(size)):
        after = message(1, {2: info({offset: b"\1"}, size)})
        assert changed(before, after) == (offset < 44 or 60 <= offset < 168), offset


def test_two_layouts_of_one_length_are_told_apart() -> None:
    early, late = {2: info(size=60), 3: bytes(8)}, {3: bytes(8), 2: info(size=60)}
    assert len(message(1, early)) == len(message(1, late))
    known = changes.Changes()
    for _ in range(2):
        known.of([message(1, early) + message(2, late)])
    quiet = [{**early, 2: info({44: b"\1"}, 60)}, {**late, 2: info({44: b"\1"}, 60)}]
    assert known.of([message(1, quiet[0]) + message(2, quiet[1])]) == []


def test_a_socket_is_gone_when_all_dumps_of_a_second_lack_it() -> None:
    known = changes.Changes()
    both, one = [message(1) + message(2)], [message(2)]
    for now_s, dump in ((0.0, both), (0.1, one), (1.2, both)):
        known.of(dump)
        assert known.gone(now_s) == []
    for now_s, expected in ((1.3, []), (2.2, []), (2.4, [1]), (9.0, [])):
        assert known.of(one) == []
        assert known.gone(now_s) == expected


def test_what_the_kernel_said_has_ended_is_not_missed() -> None:
    known = changes.Changes()
    known.of([message(1) + message(2)])
    known.forget(1)
    known.forget(7)
    for now_s in (1.0, 3.0, 5.0):
        known.of([message(2)])
        assert known.gone(now_s) == []


def test_what_came_before_a_break_counts() -> None:
    def breaks() -> object:
        yield message(1)
        raise netlink.DiagError("NLMSG_ERROR", "x")

    known = changes.Changes()
    assert known.of(breaks()) == [(1, message(1))]  # type: ignore[arg-type]
    assert known.error is not None
    assert known.of([message(1) + messages.message(3)]) == [(3, message(3))]
    assert known.error is None
