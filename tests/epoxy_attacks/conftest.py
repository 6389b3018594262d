"""One server for this folder, with an operation to ask for and a bucket to break out of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import epoxy_service
from tests.epoxy import machine
from tests.epoxy_attacks.scene import OPERATION, Scene
from tests.epoxy_service import Service


@pytest.fixture(scope="package")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("attacks")
    (folder / "objects").mkdir()
    (folder / "secret").write_text("outside of the bucket")
    operations: Path = folder / "operations.json"
    operations.write_text(json.dumps({OPERATION: {"url": "http://127.0.0.1:9/", "stages": ["stage3"]}}))
    more = ("--operations", str(operations), "--storage-prefix-url", f"file://{folder / 'objects'}")
    made = epoxy_service.Service(folder, *machine.PROXY, *more).start()
    yield made
    made.kill()


@pytest.fixture
def scene(service: Service) -> Scene:
    host, other = (machine.made(service, Extensions=[OPERATION]) for _ in range(2))
    host.stage1()
    old = dict(host.urls)
    for one in (host, other):
        one.stage1()
        one.ask("stage2")
        one.ask("stage3")
    return Scene(host, old, other)
