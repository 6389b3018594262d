from __future__ import annotations

from pathlib import Path

import pytest

from tests.rules.repositories import Repository, made


@pytest.fixture(params=["", "deep/inside"], ids=["top", "inside"])
def repository(request: pytest.FixtureRequest, tmp_path: Path) -> Repository:
    return made(tmp_path, request.param)


@pytest.fixture
def plain(tmp_path: Path) -> Repository:
    return made(tmp_path / "plain")
