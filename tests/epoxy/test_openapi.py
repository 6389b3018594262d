"""The OpenAPI document says what the server does: every route is in it, and answers to made-up requests agree."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import CHECKS

from services.epoxy import openapi
from tests import epoxy_service
from tests.epoxy import machine
from tests.epoxy_service import ADMIN_TOKEN, Service

EXAMPLES = 1000 if os.environ.get("MLAB_NIGHTLY") else 12
SCHEMA = schemathesis.openapi.from_dict(openapi.document())
WANTED: list[Any] = [
    check
    for check in CHECKS.get_all()
    if check.__name__
    in {
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_schema_conformance",
        "response_headers_conformance",
    }
]


@pytest.fixture
def quiet() -> Iterator[None]:
    """No warning of urllib3 about what it is made to send."""
    logger = logging.getLogger("urllib3")
    before = logger.level
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(before)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder: Path = tmp_path_factory.mktemp("openapi")
    (folder / "objects").mkdir()
    made = epoxy_service.Service(folder, *machine.PROXY, "--storage-prefix-url", f"file://{folder / 'objects'}")
    made.start()
    yield made
    made.kill()


def test_the_checks_are_those_that_are_meant() -> None:
    assert len(WANTED) == 5


def test_every_route_has_its_row_and_every_row_its_route() -> None:
    assert {(name, method) for _, name, method, _ in openapi.served()} == set(openapi.ROWS)
    document = openapi.document()
    assert "/v1/boot/{hostname}/{session}/extension/{operation}" in document["paths"]
    assert set(document["paths"]["/v1/storage/{path}"]) == {"get", "head"}
    assert json.dumps(document)


def test_the_service_gives_the_document_of_its_code(service: Service) -> None:
    assert service.call("GET", "/openapi.json", token=None).json() == json.loads(json.dumps(openapi.document()))


@SCHEMA.parametrize()
@settings(max_examples=EXAMPLES, database=None, suppress_health_check=list(HealthCheck), print_blob=False)
def test_an_answer_to_any_request_is_one_that_is_documented(
    case: schemathesis.Case[Any], service: Service, quiet: None
) -> None:
    headers: dict[str, Any] = {"Authorization": f"Bearer {ADMIN_TOKEN}"} if case.path.startswith("/admin") else {}
    case.call_and_validate(base_url=service.url, headers=headers, checks=WANTED, timeout=30)
