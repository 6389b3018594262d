"""For every test: no look at a cloud's metadata server, a host outside this machine; no socket left open."""

from __future__ import annotations

import os
from collections import Counter

import pytest
from hypothesis import HealthCheck, settings

os.environ["NO_GCE_CHECK"] = "true"
os.environ.pop("GOOGLE_APPLICATION_CREDENTIALS", None)

# A machine that does much else is slow, which is nothing that a test could find wrong.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

pytest_plugins = ["tests.leaks", "tests.light"]


@pytest.hookimpl(optionalhook=True)
def pytest_handlecrashitem(crashitem: str) -> None:
    """A worker that dies ends the run, named: what else waited for that worker would wait for ever."""
    pytest.exit(f"a worker died while it ran {crashitem}", returncode=3)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What may take longest begins first, by its own limit of time, then the largest groups; the rest stays shuffled.

    A boot or a group that begins last keeps one worker busy for minutes while the others have nothing left to do.
    """
    groups = [mark.args[0] if (mark := item.get_closest_marker("xdist_group")) else item.nodeid for item in items]
    sizes = Counter(groups)
    limits: dict[str, float] = {}
    for item, group in zip(items, groups, strict=True):
        mark = item.get_closest_marker("timeout")
        limits[group] = max(limits.get(group, 0.0), mark.args[0] if mark else float(config.getini("timeout")))
    order = sorted(range(len(items)), key=lambda number: (-limits[groups[number]], -sizes[groups[number]]))
    items[:] = [items[number] for number in order]
