"""Both databases behind one fixture, so that each test of the suite is run against each."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.epoxy import postgres_connections, store
from tests.epoxy_store import server

_numbers = itertools.count()


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """No limit of time ends what a test does not mean to end: the machine may stand still for a while."""
    settings = postgres_connections._SETTINGS
    longer = settings.replace("=5s", "=120s").replace("=15s", "=120s")
    assert longer != settings
    monkeypatch.setattr(postgres_connections, "_SETTINGS", longer)
    monkeypatch.setattr(postgres_connections, "WAIT_S", 120.0)
    monkeypatch.setattr(postgres_connections, "TOTAL_S", 120.0)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[server.Server]:
    """One server for all tests of a worker; each has a database of its own."""
    made = server.new()
    try:
        yield made
    finally:
        made.remove()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite://{tmp_path / 'hosts.db'}"
    made: server.Server = request.getfixturevalue("postgresql")
    return made.database(f"t{next(_numbers)}")


@pytest.fixture
def connect(url: str) -> Iterator[Callable[[], store.Store]]:
    """Opens the test's database, as often as it likes."""
    opened: list[store.Store] = []

    def open_one() -> store.Store:
        opened.append(store.connect(url))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


@pytest.fixture
def hosts(connect: Callable[[], store.Store]) -> store.Store:
    return connect()
