"""Broken input and broken boot parameters: a CNI error object, the right code, exit status 1, no address."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.index2ip import plugin

UNSUPPORTED, ENVIRONMENT, INPUT_OUTPUT, UNDECODABLE, CONFIG, PARAMETER, NO_ADDRESS = 1, 4, 5, 6, 7, 100, 101

INPUTS = {
    "nothing": (b"", UNDECODABLE),
    "white space": (b" \n", UNDECODABLE),
    "a word": (b"spam", UNDECODABLE),
    "a closing brace": (b"}", UNDECODABLE),
    "two opening braces": (b"{{}", UNDECODABLE),
    "half an object": (b'{"cniVersion": "0.3.1", "ipam": {"index"', UNDECODABLE),
    "a list": (b'[{"ipam": {"index": 2}}]', UNDECODABLE),
    "not UTF-8": (b'{"name": "\xff", "ipam": {"index": 2}}', UNDECODABLE),
    "a constant that JSON lacks": (b'{"ipam": {"index": NaN}}', UNDECODABLE),
    "a bare line break in a string": (b'{"name": "\n", "ipam": {"index": 2}}', UNDECODABLE),
    "a hundred thousand brackets": (b"[" * 100_000, UNDECODABLE),
    "a number of ten thousand digits": (b'{"ipam": {"index": ' + b"1" * 10_000 + b"}}", UNDECODABLE),
    "more than a megabyte": (b'{"name": "' + b"x" * (1 << 20) + b'"}', UNDECODABLE),
    "no ipam": (b"{}", CONFIG),
    "ipam is a list": (b'{"ipam": []}', CONFIG),
    "no index": (b'{"ipam": {}}', CONFIG),
    "index is null": (b'{"ipam": {"index": null}}', CONFIG),
    "index is a word": (b'{"ipam": {"index": "monkey"}}', CONFIG),
    "index is text": (b'{"ipam": {"index": "2"}}', CONFIG),
    "index is a fraction": (b'{"ipam": {"index": 2.0}}', CONFIG),
    "index is true": (b'{"ipam": {"index": true}}', CONFIG),
    "index is 0": (b'{"ipam": {"index": 0}}', CONFIG),
    "index is negative": (b'{"ipam": {"index": -1}}', CONFIG),
    "index is 13": (b'{"ipam": {"index": 13}}', CONFIG),
    "index is 254": (b'{"ipam": {"index": 254}}', CONFIG),
    "index is 65536": (b'{"ipam": {"index": 65536}}', CONFIG),
    "version is a number": (b'{"cniVersion": 1, "ipam": {"index": 2}}', CONFIG),
    "version is of tomorrow": (b'{"cniVersion": "2.0.0", "ipam": {"index": 2}}', UNSUPPORTED),
    "version is nonsense": (b'{"cniVersion": "\\ud800\\u0007", "ipam": {"index": 2}}', UNSUPPORTED),
}

LINES = {
    "empty": ("", PARAMETER),
    "without either family": ("quiet console=ttyS0", PARAMETER),
    "IPv6 alone": (f"epoxy.ipv6={plugin.IPV6}", PARAMETER),
    "an empty value": (plugin.command_line(""), PARAMETER),
    "a bad value": (plugin.command_line("a"), PARAMETER),
    "three fields": (plugin.command_line("192.0.2.73/26,192.0.2.65,8.8.8.8"), PARAMETER),
    "five fields": (plugin.command_line(plugin.IPV4 + ",9.9.9.9"), PARAMETER),
    "three fields of IPv6": (plugin.command_line(ipv6="2001:db8::9/64,2001:db8::1,::1"), PARAMETER),
    "two values": (f"epoxy.ipv4={plugin.IPV4} epoxy.ipv4={plugin.IPV4.replace('73', '74')}", PARAMETER),
    "a letter in an octet": (plugin.command_line(plugin.IPV4.replace("192.0.2.73", "1.c.3.4")), PARAMETER),
    "an octet with a leading zero": (plugin.command_line(plugin.IPV4.replace("192.0.2.73", "192.0.2.073")), PARAMETER),
    "no prefix length": (plugin.command_line(plugin.IPV4.replace("/26", "")), PARAMETER),
    "an empty prefix length": (plugin.command_line(plugin.IPV4.replace("/26", "/")), PARAMETER),
    "a signed prefix length": (plugin.command_line(plugin.IPV4.replace("/26", "/+26")), PARAMETER),
    "a prefix of 33 bits": (plugin.command_line(plugin.IPV4.replace("/26", "/33")), PARAMETER),
    "a prefix of one host": (plugin.command_line(plugin.IPV4.replace("/26", "/32")), PARAMETER),
    "no gateway": (plugin.command_line(plugin.IPV4.replace("192.0.2.65", "")), PARAMETER),
    "a gateway that is none": (plugin.command_line(plugin.IPV4.replace("192.0.2.65", "gw")), PARAMETER),
    "a gateway outside": (plugin.command_line(plugin.IPV4.replace("192.0.2.65", "192.0.2.1")), PARAMETER),
    "a name server that is none": (plugin.command_line(plugin.IPV4.replace("8.8.4.4", "dns")), PARAMETER),
    "a name server of the other family": (plugin.command_line(plugin.IPV4.replace("8.8.4.4", "::1")), PARAMETER),
    "IPv4 where IPv6 belongs": (plugin.command_line(ipv6=plugin.IPV4), PARAMETER),
    "a letter beyond hexadecimal": (plugin.command_line(ipv6="1:Z::/64,1:2::1,::1,::1"), PARAMETER),
    "IPv6 without a prefix length": (plugin.command_line(ipv6="1:2::,1:2::1,::1,::1"), PARAMETER),
    "a last group with letters": (plugin.command_line(ipv6="1:2::FE/64,1:2::1,::1,::1"), PARAMETER),
    "a gateway of IPv6 outside": (plugin.command_line(ipv6="1:2::9/64,1:3::1,::1,::1"), PARAMETER),
    "a last octet beyond 255": (plugin.command_line("192.0.2.254/22,192.0.2.1,8.8.8.8,8.8.4.4"), NO_ADDRESS),
    "outside the prefix": (plugin.command_line("192.0.2.125/26,192.0.2.65,8.8.8.8,8.8.4.4"), NO_ADDRESS),
    "the broadcast address": (plugin.command_line("192.0.2.125/26,192.0.2.65,8.8.8.8,8.8.4.4"), NO_ADDRESS),
    "the gateway": (plugin.command_line("192.0.2.73/26,192.0.2.75,8.8.8.8,8.8.4.4"), NO_ADDRESS),
    "the gateway of IPv6": (plugin.command_line(ipv6="1:2::9/64,1:2::11,::1,::1"), NO_ADDRESS),
    "a last group beyond 9999": (plugin.command_line(ipv6="1:2::9999/64,1:2::1,::1,::1"), NO_ADDRESS),
    "outside the prefix of IPv6": (plugin.command_line(ipv6="1:2::9/124,1:2::1,::1,::1"), NO_ADDRESS),
}


@pytest.mark.parametrize("name", INPUTS)
def test_broken_input_is_refused(name: str) -> None:
    stdin, code = INPUTS[name]
    answer = plugin.call("ADD", stdin, plugin.command_line())
    assert answer.failure() == (1, code)
    assert len(answer.stderr) < 300


@pytest.mark.parametrize("name", LINES)
def test_a_broken_kernel_command_line_is_refused(name: str) -> None:
    line, code = LINES[name]
    assert plugin.call("ADD", plugin.config(), line).failure() == (1, code)


def test_the_broadcast_address_is_named() -> None:
    line = plugin.command_line("192.0.2.125/26,192.0.2.65,8.8.8.8,8.8.4.4")
    assert "192.0.2.127 for index 2 is the broadcast address" in plugin.call("ADD", plugin.config(), line).stderr


@pytest.mark.parametrize("command", ["", "REMOVE", None, "x" * 1000])
def test_an_unknown_command_is_an_error_and_not_an_addition(command: str | None) -> None:
    answer = plugin.call(command, plugin.config(), plugin.command_line())
    assert answer.failure() == (1, ENVIRONMENT)
    assert len(answer.stderr) < 300


def test_the_error_speaks_the_version_that_was_asked_for() -> None:
    for version in ("0.3.1", "1.0.0"):
        assert plugin.call("ADD", plugin.config("x", version), plugin.command_line()).printed["cniVersion"] == version


def test_without_the_variable_for_tests_the_kernel_is_asked() -> None:
    known = "epoxy.ipv4=" in Path("/proc/cmdline").read_text()
    answer = plugin.call("ADD", plugin.config())
    assert answer.status == 0 if known else answer.failure() == (1, PARAMETER)


@pytest.mark.parametrize("closed", ["0<&-", "0>/dev/null"])
def test_input_that_cannot_be_read_is_an_error_of_input(closed: str) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "$0" {closed}', plugin.PROGRAM],
        check=False,
        capture_output=True,
        env={"CNI_COMMAND": "ADD", "PROC_CMDLINE_FOR_TESTING": plugin.command_line()},
    )
    assert (done.returncode, json.loads(done.stdout)["code"]) == (1, INPUT_OUTPUT)


@pytest.mark.parametrize("closed", [">/dev/full", ">&-", ">&- 2>&-", "2>&-"])
def test_an_answer_that_cannot_be_written_is_no_success(closed: str) -> None:
    command = "ADD" if closed != "2>&-" else "none"
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "$0" {closed}', plugin.PROGRAM],
        input=json.dumps(plugin.config()).encode(),
        check=False,
        capture_output=True,
        env={"CNI_COMMAND": command, "PROC_CMDLINE_FOR_TESTING": plugin.command_line()},
    )
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
