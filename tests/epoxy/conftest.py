from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import epoxy_service


@pytest.fixture
def service(tmp_path: Path) -> Iterator[epoxy_service.Service]:
    """A service of this test's own, for what stops, kills or counts."""
    made = epoxy_service.Service(tmp_path).start()
    yield made
    made.kill()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[epoxy_service.Service]:
    """One service for a module; each test takes hosts of its own."""
    made = epoxy_service.Service(tmp_path_factory.mktemp("epoxy")).start()
    yield made
    made.kill()
