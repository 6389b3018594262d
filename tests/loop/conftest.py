"""A small fleet in git, an object store and an ePoxy registry for sandbox, and loops over them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import fleets
from tests.e2e.checkout import Checkout, repository
from tests.loop.process import Running

LOCK_TTL_S = 5


@pytest.fixture(scope="session")
def light(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """Drift of hosts is healed, drift of buckets is reported."""
    base = tmp_path_factory.mktemp("loop")
    root = fleets.write_fleet(base / "fleet")
    environment = "config/environments/sandbox.yaml"
    fleets.edit(root, environment, "lock_ttl_s: 60", f"lock_ttl_s: {LOCK_TTL_S}")
    fleets.edit(root, environment, "epoxy: report", "epoxy: heal")
    repository(root)
    checkout = Checkout(root, base / "state")
    up = checkout.mlab("up", "--light", "--env", "sandbox")
    assert up.status == 0, up.err
    try:
        yield checkout
    finally:
        assert checkout.mlab("down").status == 0


@pytest.fixture
def loop(light: Checkout, tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Makes loops, each with a state folder of its own; all end with the test, and its edits are taken back."""
    made: list[Running] = []
    head = light.git("rev-parse", "HEAD").strip()

    def start(*words: str, name: str = "", **variables: str) -> Running:
        state = tmp_path / (name or f"state{len(made)}")
        (state / "platform").mkdir(parents=True, exist_ok=True)
        shutil.copy(light.state / "platform" / "platform.json", state / "platform" / "platform.json")
        running = Running(light, state, words, variables)
        made.append(running)
        return running.start()

    yield start
    for running in made:
        running.stop()
    light.git("clean", "-qfd")
    light.git("read-tree", "-u", "--reset", head)  # a branch only grows: what was applied stays in its history
    light.commit("As before the test")
