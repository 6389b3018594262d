"""The files of a whole environment on real servers: applied, proved, and every question answered by the stand-in."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
import requests

from reconcilers.core.model import Result
from reconcilers.fleet.model import Fleet
from reconcilers.load import fleet as loading
from reconcilers.load.jsonnet import Engine
from reconcilers.render import monitoring
from tests import waiting
from tests.conformance import suite
from tests.faultproxy import closed_port
from tests.fleets import CHECKOUT
from tests.monitoring import servers


@pytest.fixture
def standin() -> Iterator[str]:
    address = f"127.0.0.1:{closed_port()}"
    command = [sys.executable, "-m", "services.local.standin", f"--proxy={address}"]
    process = subprocess.Popen(command, cwd=CHECKOUT)
    yield f"http://{address}"
    process.terminate()
    process.wait(120)


def test_a_whole_environment_is_applied_loaded_and_scraped_through_the_standin(
    pair: servers.Pair, standin: str, engine: Engine, fleet: Fleet
) -> None:
    kubeconfig = pair.directory / "kubeconfig"
    kubeconfig.write_text(_kubeconfig(f"http://127.0.0.1:{closed_port()}"))
    patch = {
        "targets": {"monitoring": {"prometheus_url": pair.prometheus_url, "alertmanager_url": pair.alertmanager_url}},
        "monitoring": {"scrape_proxy_url": standin, "receiver_url": standin, "kubeconfig_file": str(kubeconfig)},
    }
    environment = loading.load(CHECKOUT, overlay={"environments": {"sandbox": patch}}).fleet.environments["sandbox"]
    desired = monitoring.resources(fleet, environment, engine)
    provider = pair.provider()
    result = suite.apply(provider, desired)
    assert {o.result for o in result.outcomes} == {Result.APPLIED}, {o.error for o in result.outcomes}

    assert suite.summary(suite.plan(provider, desired)) == []
    provider.close()
    assert pair.groups() == set(fleet.alerts)

    # Scrapes spread over the interval of a minute.
    url = pair.prometheus_url
    waiting.until(
        lambda: len(_probes(url)) >= 20, "20 probes are answered", limit_s=300, step_s=0.2, told=lambda: _probes(url)
    )
    assert set(_probes(url)) == {1.0}
    assert requests.get(f"{standin}/control", timeout=60).json()["asked"]["scrapes"] >= 20


def _probes(url: str) -> list[float]:
    answer = requests.get(f"{url}/api/v1/query", params={"query": "probe_success"}, timeout=60).json()
    return [float(sample["value"][1]) for sample in answer["data"]["result"]]


def _kubeconfig(server: str) -> str:
    named = {"name": "x"}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{**named, "cluster": {"server": server}}],
            "users": [{**named, "user": {}}],
            "contexts": [{**named, "context": {"cluster": "x", "user": "x"}}],
            "current-context": "x",
        }
    )
