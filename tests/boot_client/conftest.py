from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.boot import backoff, client
from tests.boot_client.authority import Authority
from tests.boot_client.bootserver import Server, Site

ID = "AQEBAQEBAQEBAQEBAQEBAQEBAQE"
"""A session id: 27 characters, as 20 bytes of 0x01 give them."""


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"), "trusted")


@pytest.fixture(scope="session")
def server(authority: Authority) -> Iterator[Server]:
    running = Server(authority.leaf("server"))
    yield running
    running.close()


@pytest.fixture
def site(server: Server) -> Site:
    return server.site()


class Machine:
    """A machine with a command line of its own, and the client on it. Pauses are kept, not waited for."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.folder = folder
        self.kargs: dict[str, str] = {"epoxy.hostname": "mlab1-lga0t.mlab-sandbox.measurement-lab.test"}
        self.pauses: list[float] = []
        self.options = client.Options(
            cmdline=folder / "cmdline",
            ca_file=authority.file,
            retry=False,
            waits=backoff.Waits(first_s=1.0, limit_s=8.0),
        )

    def boot(self, **changes: object) -> int:
        line = " ".join(f"{key}={value}" for key, value in self.kargs.items())
        self.options.cmdline.write_text(f"BOOT_IMAGE=vmlinuz quiet {line}\n")
        return client.run(self.options._replace(**changes), pause=self.pauses.append)  # type: ignore[arg-type]


@pytest.fixture
def machine(tmp_path: Path, authority: Authority) -> Machine:
    return Machine(tmp_path, authority)
