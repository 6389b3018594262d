from __future__ import annotations

from collections.abc import Iterator

import pytest

from reconcilers.fleet.model import Environment, Fleet
from reconcilers.load import fleet as loading
from reconcilers.load.jsonnet import Engine
from reconcilers.render import monitoring
from tests.fleets import CHECKOUT
from tests.monitoring import servers

EMBEDDED = {
    "scrape_proxy_url": "http://127.0.0.1:9080",
    "receiver_url": "http://127.0.0.1:9081",
    "kubeconfig_file": "/run/mlab/admin.kubeconfig",
}


@pytest.fixture(scope="session")
def fleet() -> Fleet:
    return loading.load(CHECKOUT).fleet


@pytest.fixture(scope="session")
def engine() -> Engine:
    return Engine(CHECKOUT / "jsonnet", None)


@pytest.fixture(scope="session")
def embedded(fleet: Fleet) -> dict[str, Environment]:
    """The environments as a platform on one machine patches them."""
    urls = {"prometheus_url": "http://127.0.0.1:9090", "alertmanager_url": "http://127.0.0.1:9093"}
    patch = {"targets": {"monitoring": urls}, "monitoring": EMBEDDED}
    overlay = {"environments": dict.fromkeys(fleet.environments, patch)}
    return dict(loading.load(CHECKOUT, overlay=overlay).fleet.environments)


@pytest.fixture(scope="session")
def rendered(fleet: Fleet, engine: Engine) -> dict[str, dict[str, str]]:
    """For each environment of production, content by name."""
    return {
        name: {r.id.name: r.spec["content"] for r in monitoring.resources(fleet, environment, engine)}
        for name, environment in fleet.environments.items()
    }


@pytest.fixture(scope="session")
def rendered_embedded(fleet: Fleet, engine: Engine, embedded: dict[str, Environment]) -> dict[str, dict[str, str]]:
    """The same, on a platform on one machine."""
    return {
        name: {r.id.name: r.spec["content"] for r in monitoring.resources(fleet, environment, engine)}
        for name, environment in embedded.items()
    }


@pytest.fixture(scope="session")
def _running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Pair]:
    with servers.running(tmp_path_factory.mktemp("monitoring")) as pair:
        yield pair


@pytest.fixture
def pair(_running: servers.Pair) -> servers.Pair:
    """Both servers on an empty directory."""
    _running.reset()
    return _running
