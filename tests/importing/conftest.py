"""One inventory of every kind of site and one import of it, shared by the tests that only look at them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.importing import siteinfo
from tests.importing.command import Imported, bring


@pytest.fixture(scope="session")
def inventory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout of the inventory; not to be changed."""
    return siteinfo.write(tmp_path_factory.mktemp("inventory"))


@pytest.fixture(scope="session")
def imported(inventory: Path, tmp_path_factory: pytest.TempPathFactory) -> Imported:
    """That inventory imported into an empty folder; not to be changed."""
    into = tmp_path_factory.mktemp("imported")
    return bring(inventory, into=into)
