from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.dns import cloud, servers


@pytest.fixture(scope="session")
def running_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.NameServer]:
    with servers.running(tmp_path_factory.mktemp("named")) as found:
        yield found


@pytest.fixture
def server(running_server: servers.NameServer) -> servers.NameServer:
    """The worker's server, its zones emptied."""
    running_server.empty()
    return running_server


@pytest.fixture(scope="session")
def google() -> Iterator[cloud.Running]:
    with cloud.running(servers.PARENT, servers.ZONE) as found:
        yield found
