"""Many workers at once: what is long begins first, and a worker that dies ends the run."""

from __future__ import annotations

from collections import Counter

import pytest


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


@pytest.hookimpl(optionalhook=True)
def pytest_handlecrashitem(crashitem: str) -> None:
    """A worker that dies ends the run, named: what else waited for that worker would wait for ever."""
    pytest.exit(f"a worker died while it ran {crashitem}", returncode=3)
