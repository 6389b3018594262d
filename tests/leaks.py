"""A socket that nobody closed fails the test that made it.

Python tells of such a socket when its collector finds it, which is in the middle of some later test. So that the right
one is blamed, and each time: a collection at the end of every test that made a socket. What collection and imports left
behind is set aside first, which makes these passes (and all others of the run) quick.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from typing import Any

import pytest


class _Made:
    """Whether a socket was made since the last look; set by the interpreter's own audit event, in any thread."""

    def __init__(self) -> None:
        self.any = False

    def hear(self, event: str, _args: tuple[Any, ...]) -> None:
        """An audit hook; called for every event, so it does as little as it can."""
        if event == "socket.__new__":
            self.any = True


_made = _Made()
sys.addaudithook(_made.hear)


def pytest_collection_finish() -> None:
    """Everything that lives as long as the run is left out of later passes."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_socket_left() -> Iterator[None]:
    """First to be set up, so last to be taken down of what one test owns."""
    yield
    if _made.any:
        _made.any = False
        gc.collect()
