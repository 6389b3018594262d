from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import objectstore_process


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One store for a module; its tests empty it, or take buckets of their own."""
    with objectstore_process.running(tmp_path_factory.mktemp("objectstore")) as found:
        yield found
