"""Everything inside a network namespace that has only `lo`: it works, and nothing ever tries to go further.

In such a namespace a packet for anywhere else has no route, and the kernel counts each attempt. A question to a name
server on loopback, where some machines have theirs, is a datagram to a port on which nobody listens here: counted
as well. Both counters start at 0 with the namespace.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from tests.e2e.checkout import MLAB, Checkout
from tests.platform import machine, running

pytestmark = pytest.mark.xdist_group("platform-namespace")
LISTEN, ANOTHER, NAME = "10.99.0.1", "10.99.0.7", "control.measurement-lab.test"
"""Addresses and names of this namespace alone: a second address of its `lo`, and what a certificate may hold."""
ASK = """
import json, socket, ssl, sys
from http.client import HTTPSConnection
address, port, name, ca = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
with socket.create_connection((address, int(port)), 20) as raw, context.wrap_socket(raw, server_hostname=name) as tls:
    tls.sendall(b"GET /readyz HTTP/1.0\\r\\nHost: x\\r\\n\\r\\n")
    answer = tls.makefile("rb").read()
print(json.dumps(answer.decode()))
"""
LEAVE = {
    "tcp": "import socket; socket.create_connection(('192.0.2.1', 80), 5)",
    "udp": "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53))",
    "tcp6": "import socket; socket.create_connection(('2001:db8::1', 80), 5)",
    "name": "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 53))",
}


@dataclass(frozen=True, slots=True)
class Namespace:
    """A network namespace by its name."""

    name: str

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command inside."""
        words = ["ip", "netns", "exec", self.name, *command]
        return subprocess.run(words, capture_output=True, text=True, timeout=280, check=check, stdin=subprocess.DEVNULL)

    def attempts(self) -> dict[str, int]:
        """What was ever sent towards anywhere else, or asked of a name server of the machine."""
        snmp = self.run("cat", "/proc/net/snmp").stdout.splitlines()
        rows = [line.split() for line in snmp]
        values = {
            (name[0], key): int(value)
            for name, row in zip(rows[::2], rows[1::2], strict=True)
            for key, value in zip(name[1:], row[1:], strict=True)
        }
        six = dict(line.split() for line in self.run("cat", "/proc/net/snmp6").stdout.splitlines())
        return {
            "without a route": values["Ip:", "OutNoRoutes"] + int(six["Ip6OutNoRoutes"]),
            "to nobody": values["Udp:", "NoPorts"] + int(six["Udp6NoPorts"]),
        }


@pytest.fixture(scope="module")
def inside() -> Iterator[Namespace]:
    """A namespace with nothing but `lo`, which has a second address."""
    name = f"mlab-test-{uuid.uuid4().hex[:8]}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        made = Namespace(name)
        made.run("ip", "link", "set", "lo", "up")
        made.run("ip", "address", "add", f"{LISTEN}/32", "dev", "lo")
        yield made
        left = subprocess.run(["ip", "netns", "pids", name], check=True, capture_output=True, text=True).stdout
        assert left == "", left
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


@pytest.fixture(scope="module")
def story(
    inside: Namespace, fleet: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[running.Platform, Mapping[str, Any]]]:
    """A platform that came up inside, to which everything was applied, and the attempts that were counted by then."""
    checkout = Checkout(fleet, tmp_path_factory.mktemp("platform-namespace") / "state")
    try:
        words = ("--netns", inside.name, "--listen", LISTEN, "--name", NAME, "--name", ANOTHER)
        up = running.up(checkout, *words)
        outcome = {}
        for verb in ("plan", "apply", "drift"):
            options = ("--json",) if verb == "plan" else ("--yes",) if verb == "apply" else ()
            done = inside.run(*checkout.command(verb, "--env", running.ENV, *options), check=False)
            outcome[verb] = (done.returncode, done.stdout + done.stderr)
        yield up, outcome
    finally:
        assert checkout.mlab("down").status == 0


def test_up_and_apply_and_down_work_and_nothing_tries_to_leave(
    inside: Namespace, story: tuple[running.Platform, Mapping[str, Any]]
) -> None:
    platform, outcome = story
    assert {verb: status for verb, (status, _) in outcome.items()} == {"plan": 2, "apply": 0, "drift": 0}, outcome
    assert platform.servers.keys() == running.FULL
    assert {server["problem"] for server in platform.servers.values()} == {""}
    links = [link["ifname"] for link in json.loads(inside.run("ip", "-json", "link").stdout)]
    assert links == ["lo"]
    assert inside.attempts() == {"without a route": 0, "to nobody": 0}


def test_every_process_is_inside_and_none_is_outside(
    inside: Namespace, story: tuple[running.Platform, Mapping[str, Any]]
) -> None:
    platform, _ = story
    theirs = inside.run("readlink", "/proc/self/ns/net").stdout.strip()
    processes = machine.marked(platform.mark)
    assert len(processes) == len(running.FULL)
    assert {machine.network(pid) for pid in processes} == {theirs} != {machine.network()}
    assert platform.ports() <= machine.listening(next(iter(processes)))


@pytest.mark.parametrize("name", [NAME, LISTEN, ANOTHER, "localhost", "kubernetes.default.svc"])
def test_the_server_answers_at_the_address_and_by_each_name(
    inside: Namespace, story: tuple[running.Platform, Mapping[str, Any]], name: str
) -> None:
    platform, _ = story
    (port,) = platform.servers[f"{running.ENV}/kube-apiserver"]["ports"]
    ca = platform.folder / running.ENV / "pki" / "ca.crt"
    done = inside.run(sys.executable, "-c", ASK, LISTEN, str(port), name, str(ca))
    assert json.loads(done.stdout).endswith("ok")


def test_a_name_that_was_not_asked_for_is_not_in_the_certificate(
    inside: Namespace, story: tuple[running.Platform, Mapping[str, Any]]
) -> None:
    platform, _ = story
    (port,) = platform.servers[f"{running.ENV}/kube-apiserver"]["ports"]
    pki = platform.folder / running.ENV / "pki"
    done = inside.run(
        sys.executable, "-c", ASK, LISTEN, str(port), "other.measurement-lab.test", str(pki / "ca.crt"), check=False
    )
    assert done.returncode and "certificate is not valid for" in done.stderr
    certificate = x509.load_pem_x509_certificate((pki / "kube-apiserver.crt").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {NAME} == set(names.get_values_for_type(x509.DNSName)) - {
        "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"}  # fmt: skip


def test_what_is_for_this_machine_alone_does_not_listen_at_the_address(
    inside: Namespace, story: tuple[running.Platform, Mapping[str, Any]]
) -> None:
    platform, _ = story
    open_to_others = set()
    for name, server in platform.servers.items():
        for port in server["ports"]:
            code = f"import socket; socket.create_connection(('{LISTEN}', {port}), 5)"
            if inside.run(sys.executable, "-c", code, check=False).returncode == 0:
                open_to_others.add(name)
    assert open_to_others == {f"{running.ENV}/kube-apiserver"}


@pytest.mark.parametrize("attempt", LEAVE)
def test_the_counters_do_count(
    inside: Namespace, story: tuple[running.Platform, Mapping[str, Any]], attempt: str
) -> None:
    """In a namespace of its own, so that the one above stays clean."""
    other = Namespace(f"{inside.name}-{attempt}")
    subprocess.run(["ip", "netns", "add", other.name], check=True)
    try:
        other.run("ip", "link", "set", "lo", "up")
        before = other.attempts()
        other.run(sys.executable, "-c", LEAVE[attempt], check=False)
        kind = "to nobody" if attempt == "name" else "without a route"
        assert other.attempts()[kind] > before[kind] == 0
    finally:
        subprocess.run(["ip", "netns", "del", other.name], check=True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--netns", "no-such-namespace"), "make it with `ip netns add no-such-namespace`"),
        (("--listen", "192.0.2.1"), "192.0.2.1 is no address of this machine"),
        (("--listen", "localhost"), "localhost: not an IPv4 address"),
        (("--listen", "::1"), "::1: not an IPv4 address"),
        (("--name", "not a name"), "not a name: neither an address nor a host name"),
        (("--name", "ä.test"), "ä.test: neither an address nor a host name"),
        (("--env", "nowhere"), "known: production, sandbox, staging"),
    ],
    ids=" ".join,
)
def test_a_parameter_that_cannot_work_is_refused_in_one_line(
    checkout: Checkout, words: tuple[str, ...], said: str
) -> None:
    done = checkout.mlab("up", "--light", *words)
    assert done.status == 1 and said in done.err.splitlines()[-1], done.err
    assert not list(running.platform(checkout).glob("processes/*"))


def test_a_namespace_without_loopback_is_refused(inside: Namespace, checkout: Checkout) -> None:
    name = f"{inside.name}-down"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        done = checkout.mlab("up", "--light", "--netns", name)
        assert done.status == 1 and f"`ip -n {name} link set lo up`" in done.err
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


def test_the_parameters_are_explained() -> None:
    text = subprocess.run([MLAB, "up", "--help"], check=True, capture_output=True, text=True, env=os.environ).stdout
    for parameter in ("--listen ADDRESS", "--name NAME", "--netns NAMESPACE", "--light", "--env ENV", "--state DIR"):
        assert parameter in text
