"""Which answer means which of our errors, and that rubbish never passes for an empty cluster."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from reconcilers.core import engine
from reconcilers.core.errors import Conflict, MlabError, Permanent, Temporary
from reconcilers.core.retry import Policy
from reconcilers.providers.kubernetes import client as kubernetes_client
from reconcilers.providers.kubernetes import provider as kubernetes
from reconcilers.providers.kubernetes.client import Answer, Api, Client
from reconcilers.providers.time_limits import Limits
from tests import faultproxy
from tests.faultproxy import FaultProxy
from tests.kubernetes.test_conformance import config_map, resource

NAMESPACES = Api("", "v1", "Namespace", "namespaces", False)
ONCE = Policy(tries=1)


def answer(status: int, headers: dict[str, str] | None = None, **body: Any) -> Answer:
    return Answer(status, headers or {}, {"kind": "Status", **body})


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((status, Permanent) for status in (400, 401, 403, 404, 405, 415, 422)),
        *((status, Conflict) for status in (409, 412)),
        *((status, Temporary) for status in (408, 425, 429, 500, 502, 503, 504)),
    ],
)
def test_a_status_is_one_of_our_errors(status: int, kind: type[MlabError]) -> None:
    error = answer(status, message="words\nof the server").error("ConfigMap/default/a")
    assert type(error) is kind
    assert str(error) == f"ConfigMap/default/a: HTTP {status}: words of the server"


def test_a_namespace_that_is_going_away_is_a_matter_of_time() -> None:
    error = answer(403, details={"causes": [{"reason": "NamespaceTerminating"}]}).error("a")
    assert type(error) is Temporary


@pytest.mark.parametrize(("value", "low", "high"), [("7", 7, 7), ("soon", None, None), ("", None, None)])
def test_retry_after_in_seconds_is_honoured(value: str, low: float | None, high: float | None) -> None:
    error = answer(429, {"Retry-After": value}).error("a")
    assert isinstance(error, Temporary)
    assert error.retry_after_s == low == high


def test_retry_after_as_a_date_is_honoured() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    began = time.monotonic()
    error = answer(503, {"Retry-After": date}).error("a")
    assert isinstance(error, Temporary) and error.retry_after_s is not None
    # A date has whole seconds.
    assert 3598.9 - (time.monotonic() - began) < error.retry_after_s <= 3600


def test_words_about_a_secret_are_left_out() -> None:
    causes = [{"field": "data.token", "message": 'Invalid value: "hunter2"'}]
    error = answer(422, message='data.token: Invalid value: "hunter2"', details={"causes": causes}).error(
        "a", secret=True
    )
    assert str(error) == "a: HTTP 422: data.token"


def test_an_error_is_one_short_line() -> None:
    text = str(answer(500, message="x" * 5000).error("a"))
    assert len(text) == 256 and "\n" not in text


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    """A server of which only faults are seen."""
    with FaultProxy("http://127.0.0.1:1") as made:
        yield made


@pytest.fixture
def broken(proxy: FaultProxy, tmp_path: Path) -> Path:
    """A kubeconfig that leads to it."""
    path = tmp_path / "kubeconfig"
    path.write_text(
        f"""\
apiVersion: v1
kind: Config
clusters: [{{name: c, cluster: {{server: "{proxy.url}"}}}}]
users: [{{name: u, user: {{token: "canary-token-9b1"}}}}]
contexts: [{{name: c, context: {{cluster: c, user: u}}}}]
current-context: c
"""
    )
    return path


FAULTS = {
    "closed": faultproxy.down(),
    "slow": faultproxy.slow(),
    "drip": faultproxy.drip(),
    "html": faultproxy.html(),
    "truncated": faultproxy.truncated(),
    "other JSON": faultproxy.status(200, body=b'{"items": []}'),
    "no object": faultproxy.status(200, body=b"[]"),
    "other kind": faultproxy.status(200, body=b'{"kind": "Pod", "metadata": {"name": "a"}}'),
    "unauthorised": faultproxy.status(401),
    "forbidden": faultproxy.status(403),
    "too many": faultproxy.status(429),
    "broken": faultproxy.status(500),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_bad_server_gives_an_incomplete_plan_of_one_line(name: str, proxy: FaultProxy, broken: Path) -> None:
    proxy.fault = FAULTS[name]
    provider = kubernetes.Kubernetes("sandbox/kubernetes", broken, limits=Limits(1, 0.3, 0.5))
    made = engine.observe(engine.Work(provider, (resource(config_map("a", b="c")),)), ONCE)
    provider.close()
    proxy.fault = None
    assert not made.complete and not made.changes
    assert len(made.problems) == 1 and "\n" not in made.problems[0]
    assert "canary-token" not in made.problems[0]


@pytest.mark.parametrize(
    "text",
    ["", "a: [", "kind: Config", "clusters: []\ncurrent-context: x", "users: [{name: u, user: {token: canary}}]"],
)
def test_a_bad_kubeconfig_is_named_without_its_content(text: str, tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    with pytest.raises(Permanent, match="not a usable kubeconfig") as caught:
        Client(path).request("GET", "/version")
    assert str(path) in str(caught.value) and "canary" not in str(caught.value)


def test_a_missing_kubeconfig_is_named(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="absent: not a usable kubeconfig"):
        Client(tmp_path / "absent").request("GET", "/version")


def test_lists_are_read_page_by_page(kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(kubeconfig)
    whole = client.list_all(NAMESPACES)
    monkeypatch.setattr(kubernetes_client, "PAGE", 1)
    names = [item["metadata"]["name"] for item in client.list_all(NAMESPACES)]
    client.close()
    # Others come and go: the cluster is that of all tests.
    standing = {"default", "kube-system", "kube-public", "kube-node-lease"}
    assert standing <= set(names) and standing <= {item["metadata"]["name"] for item in whole}
    assert len(names) == len(set(names))
    assert {item["kind"] for item in whole} == {"Namespace"}


def test_kinds_are_found_by_group_and_version(kubeconfig: Path) -> None:
    client = Client(kubeconfig)
    found = client.find("DaemonSet", "apps")
    assert found is not None and found.path("default", "ndt") == "/apis/apps/v1/namespaces/default/daemonsets/ndt"
    assert client.find("DaemonSet", "apps", "v1beta1") is None
    assert client.find("Spaceship", "") is None
    client.close()


def test_a_server_that_is_not_the_one_of_the_kubeconfig_is_refused(kubeconfig: Path, tmp_path: Path) -> None:
    lines = [line for line in kubeconfig.read_text().splitlines() if "certificate-authority" not in line]
    stranger = tmp_path / "kubeconfig"
    stranger.write_text("\n".join(lines))
    with pytest.raises(Permanent, match="check the kubeconfig's CA"):
        Client(stranger).request("GET", "/version")
