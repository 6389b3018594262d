"""What the tests of this folder share: a small fleet, and one whole platform for those that only look at it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import fleets
from tests.e2e.checkout import Checkout, repository
from tests.platform import running


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of three sites in a git repository; nobody edits it."""
    root = fleets.write_fleet(tmp_path_factory.mktemp("platform-fleet") / "fleet")
    repository(root)
    return root


@pytest.fixture
def checkout(fleet: Path, tmp_path: Path) -> Iterator[Checkout]:
    """The fleet with a state folder of the test's own; what the test leaves running is taken away."""
    made = Checkout(fleet, tmp_path / "state")
    yield made
    assert made.mlab("down").status == 0


@pytest.fixture(scope="session")
def shared(fleet: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[running.Platform]:
    """A whole platform for one environment, with everything applied, for tests of the group `platform`."""
    checkout = Checkout(fleet, tmp_path_factory.mktemp("platform-shared") / "state")
    try:
        made = running.up(checkout)
        done = checkout.apply(running.ENV)
        assert done.status == 0, done.out + done.err
        yield made
    finally:
        assert checkout.mlab("down").status == 0
