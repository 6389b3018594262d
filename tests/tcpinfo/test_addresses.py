"""Which connections are not recorded, and what of an address is kept."""

from __future__ import annotations

import socket

import pytest

from node.tcpinfo import addresses, netlink, reader
from tests.tcpinfo.messages import message


@pytest.mark.parametrize(
    ("source", "destination", "internal"),
    [
        ("198.51.100.1", "203.0.113.9", False),
        ("2001:db8::1", "2001:db8::9", False),
        ("::ffff:198.51.100.1", "::ffff:203.0.113.9", False),
        ("127.0.0.1", "127.9.9.9", True),
        ("198.51.100.1", "0.0.0.0", True),
        ("198.51.100.1", "169.254.1.1", True),
        ("224.0.0.1", "203.0.113.9", True),
        ("239.255.255.255", "203.0.113.9", True),
        ("240.0.0.1", "203.0.113.9", False),
        ("::1", "::1", True),
        ("2001:db8::1", "::", True),
        ("fe80::1", "2001:db8::9", True),
        ("febf::1", "2001:db8::9", True),
        ("fec0::1", "2001:db8::9", False),
        ("2001:db8::1", "ff02::1", True),
        ("::ffff:127.0.0.1", "::ffff:127.0.0.1", True),
        ("::2", "2001:db8::9", False),
    ],
)
def test_what_never_leaves_the_machine_is_not_recorded(source: str, destination: str, internal: bool) -> None:
    ends = addresses.ends(message(1, source=source, destination=destination))
    assert addresses.Excluded().has(ends) == internal


@pytest.mark.parametrize(
    ("ports", "destinations", "source", "destination", "out"),
    [
        (["5001"], [], "198.51.100.1", "203.0.113.9", True),
        (["38602"], [], "198.51.100.1", "203.0.113.9", False),
        (["65535", "5001"], [], "2001:db8::1", "2001:db8::9", True),
        ([], ["203.0.113.9"], "198.51.100.1", "203.0.113.9", True),
        ([], ["198.51.100.1"], "198.51.100.1", "203.0.113.9", False),
        ([], ["203.0.113.9"], "::ffff:198.51.100.1", "::ffff:203.0.113.9", True),
        ([], ["::ffff:203.0.113.9"], "198.51.100.1", "203.0.113.9", True),
        ([], ["2001:db8:0::9"], "2001:db8::1", "2001:db8::9", True),
    ],
)
def test_local_ports_and_remote_addresses_may_be_left_out(
    ports: list[str], destinations: list[str], source: str, destination: str, out: bool
) -> None:
    ends = addresses.ends(message(1, source=source, destination=destination))
    assert addresses.excluded(ports, destinations).has(ends) == out


def test_what_is_no_port_or_address_is_logged_and_the_rest_counts(caplog: pytest.LogCaptureFixture) -> None:
    made = addresses.excluded(["65536", "-1", "x", "", "9990"], ["300.1.1.1", "", "host", "192.0.2.1"])
    assert made == addresses.Excluded(frozenset({9990}), frozenset({socket.inet_aton("192.0.2.1")}))
    assert len(caplog.records) == 7


@pytest.mark.parametrize(
    ("source", "destination", "kept", "expected"),
    [
        ("198.51.100.77", "203.0.113.9", [], ("198.51.100.0", "203.0.113.0")),
        ("198.51.100.77", "203.0.113.9", ["198.51.100.77"], ("198.51.100.77", "203.0.113.0")),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:7:8::9", [], ("2001:db8:1::", "2001:db8:7::")),
        ("2001:db8:1::6", "2001:db8:7:8::9", ["2001:db8:1::6"], ("2001:db8:1::6", "2001:db8:7::")),
        ("::ffff:198.51.100.7", "::ffff:203.0.113.9", ["198.51.100.7"], ("::ffff:198.51.100.7", "::ffff:203.0.113.0")),
    ],
)
def test_anonymised_addresses_keep_their_network(
    source: str, destination: str, kept: list[str], expected: tuple[str, str]
) -> None:
    header = message(1, source=source, destination=destination)[netlink.HEADER : netlink.BODY]
    families = [socket.AF_INET6 if ":" in text else socket.AF_INET for text in kept]
    own = frozenset(socket.inet_pton(family, text) for family, text in zip(families, kept, strict=True))
    made = addresses.anonymised(header, own)
    snapshot = reader.Snapshot("", made, {})
    assert (snapshot.source, snapshot.destination) == expected
    assert (made[:8], made[40:]) == (header[:8], header[40:])


def test_the_machine_s_own_addresses_are_those_that_the_kernel_lists() -> None:
    assert socket.inet_aton("127.0.0.1") in addresses.own()
