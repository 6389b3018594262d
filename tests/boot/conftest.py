"""The network, the server and the machines that all boot tests share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network

import pytest

from node.boot import stage1
from reconcilers.fleet import addresses
from tests.boot import cluster as clusters
from tests.boot import server, wire
from tests.boot.guest import Card

# Of the small fleet's site lga1t.
PREFIX = IPv4Network("198.18.1.176/28")
GATEWAY = IPv4Interface(f"{addresses.gateway(PREFIX)}/{PREFIX.prefixlen}")
MACHINES = 10


@dataclass(frozen=True, slots=True)
class Host:
    """A machine as its record describes it, and its card."""

    machine: stage1.Machine
    card: Card

    @property
    def name(self) -> str:
        return self.machine.hostname

    @property
    def address(self) -> str:
        return server.address(self.machine)

    @property
    def url(self) -> str:
        """Where its firmware boots from."""
        return f"{server.ROM}/v1/media/{self.name}/snponly.efi"


def _host(number: int) -> Host:
    # The first is the one that the site has; the others exist for boots that fail.
    first = IPv4Interface(f"{addresses.machine4(PREFIX, 1)}/{PREFIX.prefixlen}")
    network = stage1.Network(f"{first.ip + number - 1}/{PREFIX.prefixlen}", str(GATEWAY.ip), str(GATEWAY.ip))
    name = f"mlab{number}-lga1t.mlab-sandbox.measurement-lab.test"
    card = Card(f"tap{number - 1}", f"52:54:00:00:01:{number:02x}")
    return Host(stage1.Machine(name, "mlab-sandbox", network), card)


@pytest.fixture(scope="session")
def images() -> dict[str, bytes]:
    """The images of this checkout."""
    return server.built("stage2", "stage3", "boot-media")


@pytest.fixture(scope="package")
def hosts(images: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Host, ...]]:
    """The machines; as long as this fixture lives, this thread is in their network, from which nothing can be had.

    Hence the images come first, whose packages may have to be downloaded, and it ends with the tests of this folder.
    """
    made = tuple(_host(number) for number in range(1, MACHINES + 1))
    leases = {host.card.mac: host.address for host in made}
    with wire.network(tmp_path_factory.mktemp("wire"), GATEWAY, (server.NAME, server.ALIAS), leases):
        yield made


@pytest.fixture(scope="package")
def cluster(hosts: tuple[Host, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[clusters.Cluster]:
    """The control plane; the first host's record and the canary are applied."""
    with clusters.platform(tmp_path_factory.mktemp("cluster"), str(GATEWAY.ip)) as made:
        yield made


@pytest.fixture(scope="package")
def boots(
    hosts: tuple[Host, ...],
    images: dict[str, bytes],
    cluster: clusters.Cluster,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[server.BootServer]:
    """The boot server with a release of the images, and media for each machine."""
    folder = tmp_path_factory.mktemp("boot-server")
    made = server.BootServer(folder, str(GATEWAY.ip), cluster)
    ipxe = folder / "snponly.efi"
    ipxe.write_bytes(images["snponly.efi"])
    made.publish()
    # The first has no script of its own: the server makes it one.
    for host in hosts[1:]:
        made.carry(host.machine, ipxe)
    made.start()
    try:
        yield made
    finally:
        made.stop()
