"""What the kernel sends, whole and broken: a verdict for any bytes, the same by the fast way and the slow one."""

from __future__ import annotations

import os
import random
import socket
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.tcpinfo import addresses, changes, fields, netlink, records
from tests import waiting
from tests.tcpinfo import messages

EXAMPLES = 50_000 if os.environ.get("MLAB_NIGHTLY") else 250


def checked(data: bytes) -> tuple[int, bool, bool]:
    return netlink.checked(data, messages.SEQUENCE, messages.PORT)


def test_a_buffer_of_messages_goes_on_and_done_ends_it() -> None:
    whole = messages.message(1) + messages.message(2)
    assert checked(whole) == (len(whole), False, False)
    assert checked(whole + messages.done()) == (len(whole), True, False)
    assert checked(messages.done()) == (0, True, False)


@pytest.mark.parametrize("flags", [0, 2])
def test_an_error_without_a_code_ends_quietly(flags: int) -> None:
    assert checked(messages.error(0, flags)) == (0, True, False)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (messages.message(1, sequence=4), "wrong seq num"),
        (messages.message(1) + messages.message(2, sequence=4), "wrong seq num"),
        (messages.message(1, port=78), "wrong pid"),
        (messages.error(2), "NLMSG_ERROR"),
        (messages.error(1, 2), "NLMSG_ERROR"),
        (messages.error(0)[:18], "NLMSG_ERROR"),
        (messages.message(1)[:-1], "NLMSG_ERROR"),
        (messages.message(1, kind=21), "NLMSG_ERROR"),
        (struct.pack("=IHHII", 3, 20, 2, 5, 77), "NLMSG_ERROR"),
        (struct.pack("=IHHII", 40, 20, 2, 5, 77) + bytes(24), "NLMSG_ERROR"),
        (b"\0" * 7, "NLMSG_ERROR"),
    ],
)
def test_what_answers_another_request_or_is_an_error_abandons_the_dump(data: bytes, kind: str) -> None:
    with pytest.raises(netlink.DiagError) as caught:
        checked(data)
    assert caught.value.kind == kind


def test_an_interrupted_dump_is_noticed_wherever_the_flag_stands() -> None:
    plain, marked = messages.message(1), messages.message(2, flags=2 | netlink.FLAG_INTERRUPTED)
    assert checked(plain + marked)[2] and checked(marked + plain)[2] and checked(marked)[2]


MESSAGES = st.builds(
    messages.message,
    st.integers(0, 2**64 - 1),
    st.dictionaries(st.integers(1, 25), st.binary(max_size=40), max_size=5),
    state=st.integers(0, 12),
)


@settings(max_examples=EXAMPLES)
@given(st.lists(MESSAGES | st.binary(max_size=60), max_size=6), st.randoms(use_true_random=False))
def test_any_bytes_end_in_a_verdict(parts: list[bytes], chance: random.Random) -> None:
    data = bytearray(b"".join(parts))
    for _ in range(chance.randrange(4)):
        if data:
            data[chance.randrange(len(data))] = chance.randrange(256)
    whole = bytes(data[: chance.randrange(len(data) + 1)]) if chance.randrange(2) else bytes(data)
    try:
        end, _, _ = checked(whole)
    except netlink.DiagError:
        end = 0
    known = changes.Changes()
    changed = known.of([whole[:end]])
    writer = records.Writer()
    for cookie, message in changed:
        assert addresses.cookie(message) == cookie
        line, _ = writer.snapshot(1, message[netlink.HEADER : netlink.BODY], message)
        assert line.endswith(b"]}\n") and line.count(b"\n") == 1
    netlink.destroyed(whole)


@settings(max_examples=EXAMPLES)
@given(st.lists(MESSAGES, min_size=1, max_size=8, unique_by=addresses.cookie))
def test_each_socket_is_reported_once_and_as_it_was_sent(found: list[bytes]) -> None:
    known = changes.Changes()
    assert [message for _, message in known.of([b"".join(found)])] == found
    assert known.of([b"".join(found)]) == []
    assert known.of([*found]) == []
    assert known.gone(1.0) == []


def test_messages_of_one_shape_and_of_many_are_the_same_to_it() -> None:
    same = [messages.message(cookie) for cookie in range(50)]
    mixed = [messages.message(cookie, {2: messages.info(), 4: b"bbr\0" * (cookie % 3)}) for cookie in range(50, 100)]
    known = changes.Changes()
    assert netlink.uniform(b"".join(same)) == len(same[0])
    assert netlink.uniform(b"".join(mixed)) == 0
    assert [message for _, message in known.of([b"".join(same), b"".join(mixed)])] == same + mixed
    assert known.count == 100


def test_the_kernel_answers_with_the_sockets_that_there_are() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        cookie = int.from_bytes(client.getsockopt(socket.SOL_SOCKET, 57, 8), "little")
        dumps, known = netlink.Dumps(socket.AF_INET), changes.Changes()
        found = dict(known.of(dumps.buffers()))
        assert known.error is None
        ends = addresses.ends(found[cookie])
        assert (ends.source_port, ends.destination_port) == (client.getsockname()[1], server.getsockname()[1])
        assert addresses.text(ends.destination) == "127.0.0.1"
        dumps.close()


def test_the_dump_s_numbers_are_those_that_the_connection_itself_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        taken, _ = server.accept()
        with taken:
            client.sendall(bytes(5000))
            taken.recv(5000, socket.MSG_WAITALL)

            def unacknowledged() -> int:
                return fields.tcp_info(client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 512))["Unacked"]

            waiting.until(lambda: unacknowledged() == 0, "all is acknowledged", told=unacknowledged)
            dumps = netlink.Dumps(socket.AF_INET)
            cookie = int.from_bytes(client.getsockopt(socket.SOL_SOCKET, 57, 8), "little")
            message = dict(changes.Changes().of(dumps.buffers()))[cookie]
            payloads = {kind: message[begin:end] for kind, begin, end in netlink.attributes(message)}
            told = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 512)
            dumps.close()
    ours, theirs = fields.tcp_info(payloads[netlink.INFO]), fields.tcp_info(told)
    assert len(payloads[netlink.INFO]) == len(told)
    changing = {"LastDataSent", "LastAckSent", "LastDataRecv", "LastAckRecv", "BusyTime"}
    assert {name: ours[name] for name in ours.keys() - changing} == {
        name: theirs[name] for name in ours.keys() - changing
    }
    assert (ours["BytesSent"], ours["State"]) == (5000, 1)


def test_an_abandoned_dump_does_not_disturb_the_next() -> None:
    dumps, known = netlink.Dumps(socket.AF_INET), changes.Changes()
    with socket.create_server(("127.0.0.1", 0)):
        for _ in dumps.buffers():
            break  # the rest of the answer is never read
        known.of(dumps.buffers())
    assert known.error is None and known.count > 0
    dumps.close()
