"""The metrics server that every program of a node has."""

from __future__ import annotations

import socket
from http.client import HTTPConnection

import prometheus_client
import pytest
from prometheus_client.parser import text_string_to_metric_families

from node import metrics
from tests.faultproxy import closed_port


def get(port: int, path: str, host: str = "127.0.0.1") -> tuple[int, str]:
    connection = HTTPConnection(host, port, timeout=60)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body


@pytest.mark.parametrize(("commit", "value"), [("abc1234", float(0xABC1234)), ("unknown", 0.0), ("", 0.0)])
def test_the_commit_is_exported_as_a_number(monkeypatch: pytest.MonkeyPatch, commit: str, value: float) -> None:
    monkeypatch.setenv("GIT_SHORT_COMMIT", commit)
    with metrics.Served("127.0.0.1:0", metrics.registry()) as served:
        status, body = get(served.port, "/metrics")
    (sample,) = (s for family in text_string_to_metric_families(body) for s in family.samples)
    assert (status, sample.name, sample.labels, sample.value) == (200, "git_short_commit", {"commit": commit}, value)


def test_counters_have_no_series_of_their_creation() -> None:
    registry = metrics.registry()
    prometheus_client.Counter("things", "Things.", registry=registry).inc()
    with metrics.Served("127.0.0.1:0", registry) as served:
        body = get(served.port, "/metrics")[1]
    assert "things_total 1.0" in body and "_created" not in body


def test_only_metrics_are_served() -> None:
    with metrics.Served("127.0.0.1:0", metrics.registry()) as served:
        assert [get(served.port, path)[0] for path in ("/", "/metricsx", "/metrics?x=1")] == [404, 404, 200]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_port_alone_is_every_address_of_both_families(host: str) -> None:
    with metrics.Served(":0", metrics.registry()) as served:
        assert get(served.port, "/metrics", host)[0] == 200


def test_an_address_of_ipv6_stands_in_brackets() -> None:
    with socket.socket() as held:
        # Bound, and nobody listens: the same port of the other family is nobody else's meanwhile.
        held.bind(("127.0.0.1", closed_port()))
        port = held.getsockname()[1]
        with metrics.Served(f"[::1]:{port}", metrics.registry()):
            assert get(port, "/metrics", "::1")[0] == 200
            with pytest.raises(OSError, match="refused"):
                get(port, "/metrics", "127.0.0.1")


def test_a_silent_client_does_not_keep_others_waiting() -> None:
    with (
        metrics.Served("127.0.0.1:0", metrics.registry()) as served,
        socket.create_connection(("127.0.0.1", served.port)),
    ):
        assert get(served.port, "/metrics")[0] == 200


def test_the_port_is_free_again_afterwards() -> None:
    with metrics.Served(f"127.0.0.1:{closed_port()}", metrics.registry()) as served:
        port = served.port
        with pytest.raises(metrics.AddressError, match="cannot listen"):
            metrics.Served(f"127.0.0.1:{port}", metrics.registry())
    with metrics.Served(f"127.0.0.1:{port}", metrics.registry()) as again:
        assert again.port == port


@pytest.mark.parametrize("text", ["", "9990", "host", "host:", "host:x", ":65536", "::1:9990", "host:-1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(metrics.AddressError, match="give HOST:PORT"):
        metrics.address(text)
