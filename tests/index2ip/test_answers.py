"""What each command answers in each version; addresses as the platform counts them."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from tests.index2ip import plugin

MODULE = plugin.module()
DNS = {"nameservers": ["8.8.8.8", "8.8.4.4", "2001:4860:4860::8888", "2001:4860:4860::8844"]}
ROUTE4 = {"dst": "0.0.0.0/0", "gw": "192.0.2.65"}
ROUTE6 = {"dst": "::/0", "gw": "2001:db8:0:7::1"}
ADDRESS4 = {"address": "192.0.2.75/26", "gateway": "192.0.2.65"}
ADDRESS6 = {"address": "2001:db8:0:7::75/64", "gateway": "2001:db8:0:7::1"}
OLD = {
    "ip4": {"ip": "192.0.2.75/26", "gateway": "192.0.2.65", "routes": [ROUTE4]},
    "ip6": {"ip": "2001:db8:0:7::75/64", "gateway": "2001:db8:0:7::1", "routes": [ROUTE6]},
    "dns": DNS,
}
MIDDLE = {
    "ips": [{"version": "4", **ADDRESS4}, {"version": "6", **ADDRESS6}],
    "routes": [ROUTE4, ROUTE6],
    "dns": DNS,
}
NEW = {"ips": [ADDRESS4, ADDRESS6], "routes": [ROUTE4, ROUTE6], "dns": DNS}
SHAPES: dict[str, dict[str, Any]] = {
    "0.1.0": OLD,
    "0.2.0": OLD,
    "0.3.0": MIDDLE,
    "0.3.1": MIDDLE,
    "0.4.0": MIDDLE,
    "1.0.0": NEW,
    "1.1.0": NEW,
}


def addresses(ipv4: str, ipv6: str | None, index: int) -> list[str]:
    """The addresses of one index, in process."""
    line = plugin.command_line(ipv4, ipv6)
    return [entry["address"] for entry in MODULE.answer("ADD", json.dumps(plugin.config(index)).encode(), line)["ips"]]


@pytest.mark.parametrize("version", SHAPES)
def test_add_answers_in_the_shape_of_the_version_that_is_asked_for(version: str) -> None:
    answer = plugin.call("ADD", plugin.config(version=version), plugin.command_line())
    assert (answer.status, answer.stderr) == (0, "")
    expected: dict[str, Any] = {"cniVersion": version, **SHAPES[version]}
    assert json.dumps(answer.printed) == json.dumps(expected)  # the order of the members, too


@pytest.mark.parametrize("config", [{}, {"cniVersion": ""}, {"cniVersion": None}])
def test_without_a_version_the_oldest_is_meant(config: dict[str, object]) -> None:
    answer = plugin.call("ADD", {**config, "ipam": {"index": 2}}, plugin.command_line())
    assert answer.printed == {"cniVersion": "0.1.0", **OLD}


def test_the_answer_is_indented_by_four_spaces() -> None:
    environment = {"CNI_COMMAND": "VERSION"}
    done = subprocess.run([plugin.PROGRAM], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout == json.dumps(json.loads(done.stdout), indent=4) + "\n"


def test_version_names_the_highest_and_lists_all_and_reads_no_input() -> None:
    with subprocess.Popen(
        [plugin.PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"CNI_COMMAND": "VERSION"}
    ) as process:
        assert process.stdout is not None
        printed = json.loads(process.stdout.read())  # while stdin is still open
    assert printed == {"cniVersion": "1.1.0", "supportedVersions": list(SHAPES)}


@pytest.mark.parametrize("command", ["DEL", "del", "GC", "STATUS"])
@pytest.mark.parametrize("stdin", [b"", b"}", json.dumps(plugin.config(version="1.1.0")).encode()])
def test_there_is_nothing_to_delete_collect_or_ask(command: str, stdin: bytes) -> None:
    assert plugin.call(command, stdin, "no parameter at all") == plugin.Answer(0, None, "")


@pytest.mark.parametrize("command", ["ADD", "add", "Add"])
def test_commands_are_known_in_any_case(command: str) -> None:
    assert plugin.call(command, plugin.config(), plugin.command_line()).status == 0


def test_what_follows_the_first_value_of_the_input_does_not_matter() -> None:
    stdin = b"\n\t " + json.dumps(plugin.config()).encode() + b"\n}spam"
    assert plugin.call("ADD", stdin, plugin.command_line()).printed["ips"][0] == {"version": "4", **ADDRESS4}


def test_a_node_without_ipv6_gives_ipv4_alone() -> None:
    for line in (plugin.command_line(ipv6=None), plugin.command_line(ipv6="")):
        printed = plugin.call("ADD", plugin.config(version="1.0.0"), line).printed
        assert printed == {
            "cniVersion": "1.0.0",
            "ips": [ADDRESS4],
            "routes": [ROUTE4],
            "dns": {"nameservers": ["8.8.8.8", "8.8.4.4"]},
        }


def test_an_empty_gateway_of_ipv6_leaves_its_members_out() -> None:
    line = plugin.command_line(ipv6="2001:db8:0:7::73/64,,2001:4860:4860::8888,")
    printed = plugin.call("ADD", plugin.config(version="1.0.0"), line).printed
    assert printed["ips"][1] == {"address": "2001:db8:0:7::75/64"}
    assert printed["routes"][1] == {"dst": "::/0"}
    assert printed["dns"]["nameservers"][2:] == ["2001:4860:4860::8888"]


def test_a_gateway_of_ipv6_may_be_link_local() -> None:
    line = plugin.command_line(ipv6="2001:db8:0:7::73/64,fe80::1,::1,::1")
    assert plugin.call("ADD", plugin.config(), line).printed["ips"][1]["gateway"] == "fe80::1"


@pytest.mark.parametrize("end", ["\n", " \n", "\tquiet\n", ""])
def test_white_space_ends_a_parameter_and_so_does_the_end_of_the_line(end: str) -> None:
    printed = plugin.call("ADD", plugin.config(), f"quiet epoxy.ipv4={plugin.IPV4}{end}").printed
    assert printed["dns"]["nameservers"] == ["8.8.8.8", "8.8.4.4"]


def test_a_parameter_whose_name_merely_ends_or_looks_alike_is_another() -> None:
    other = plugin.IPV4.replace("192.0.2", "198.51.100")
    line = f"old-epoxy.ipv4={other} epoxy_ipv4={other} epoxy.ipv4x={other} epoxy.ipv4={plugin.IPV4}"
    assert plugin.call("ADD", plugin.config(), line).printed["ips"][0]["address"] == "192.0.2.75/26"


def test_a_parameter_may_be_said_twice_if_it_is_the_same() -> None:
    line = f"epoxy.ipv4={plugin.IPV4} epoxy.ipv4={plugin.IPV4}"
    assert plugin.call("ADD", plugin.config(), line).status == 0


def test_bytes_that_are_no_text_elsewhere_on_the_line_do_not_matter() -> None:
    line = b"label=\xff\xfe " + plugin.command_line().encode()
    assert plugin.call("ADD", plugin.config(), line).status == 0


@pytest.mark.parametrize("index", range(1, 13))
def test_the_last_octet_is_raised_by_the_index(index: int) -> None:
    assert addresses("1.2.3.4/26,1.2.3.1,8.8.8.8,8.8.4.4", None, index) == [f"1.2.3.{4 + index}/26"]


@pytest.mark.parametrize(
    ("octet", "index"), [(9, 12), (73, 11), (137, 10), (201, 9), (48, 8), (112, 7), (176, 6), (240, 5)]
)
def test_both_families_look_alike(octet: int, index: int) -> None:
    gateway = f"1.2.3.{octet // 64 * 64 + 1}"
    ipv4, ipv6 = f"1.2.3.{octet}/26,{gateway},8.8.8.8,8.8.4.4", f"1:2::{octet}/64,1:2::1,::1,::2"
    assert addresses(ipv4, ipv6, index) == [f"1.2.3.{octet + index}/26", f"1:2::{octet + index}/64"]


@pytest.mark.parametrize(
    ("own", "index", "expected"),
    [
        ("2001:db8::9", 2, "2001:db8::11"),
        ("2001:db8::9", 12, "2001:db8::21"),
        ("2001:db8::201", 12, "2001:db8::213"),
        ("2001:db8::", 6, "2001:db8::6"),
        ("2001:db8::9990", 9, "2001:db8::9999"),
        ("2001:DB8:0:0:1:0:0:8", 1, "2001:db8::1:0:0:9"),
    ],
)
def test_ipv6_is_counted_in_decimal_digits(own: str, index: int, expected: str) -> None:
    ipv6 = f"{own}/64,,::1,::2"
    assert addresses(plugin.IPV4, ipv6, index)[1] == f"{expected}/64"


@pytest.mark.parametrize(("prefix", "node", "slots"), [(26, 9, 12), (28, 3, 11), (29, 3, 3)])
def test_every_experiment_of_a_prefix_has_its_place_and_no_more(prefix: int, node: int, slots: int) -> None:
    ipv4 = f"192.0.2.{node}/{prefix},192.0.2.1,8.8.8.8,8.8.4.4"
    assert addresses(ipv4, None, slots) == [f"192.0.2.{node + slots}/{prefix}"]
    answer = plugin.call("ADD", plugin.config(slots + 1), plugin.command_line(ipv4, None))
    assert answer.failure() == (1, 7)
    assert f"outside 1 to {slots}" in answer.printed["msg"]


def kept(*addresses: str) -> dict[str, object]:
    """A configuration for CHECK, with the result that a runtime has kept."""
    return plugin.config(
        version="1.0.0", prevResult={"cniVersion": "1.0.0", "ips": [{"address": a} for a in addresses]}
    )


def test_check_accepts_the_addresses_that_add_gave() -> None:
    config = kept("10.1.2.3/24", "192.0.2.75/26", "2001:db8:0:7:0::75/64")
    assert plugin.call("CHECK", config, plugin.command_line()) == plugin.Answer(0, None, "")


@pytest.mark.parametrize(
    ("config", "code"),
    [
        (kept("192.0.2.76/26", "2001:db8:0:7::75/64"), 102),
        (kept("192.0.2.75/26"), 102),
        (kept("192.0.2.75/24", "2001:db8:0:7::75/64"), 102),
        (kept("192.0.2.75/26", "2001:db8:0:7::76/64", "x", ""), 102),
        (plugin.config(version="1.0.0", prevResult={"ips": [7, None, "a"]}), 102),
        (plugin.config(version="1.0.0", prevResult={}), 7),
        (plugin.config(version="1.0.0"), 7),
        (plugin.config(version="0.3.1"), 1),
    ],
)
def test_check_refuses_what_add_would_not_have_given(config: object, code: int) -> None:
    assert plugin.call("CHECK", config, plugin.command_line()).failure() == (1, code)
