"""Both databases behind one fixture, so that each test of the suite is run against each."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.epoxy import store
from tests.epoxy_store import server

_numbers = itertools.count()


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
