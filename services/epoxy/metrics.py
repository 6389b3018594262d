"""Metrics in a registry of their own, so that tests and several services in one process do not mix.

`epoxy_last_boot` and `epoxy_last_success` keep the original's names, labels and unit (seconds since 1970, with a
fraction) and are read from the store at each scrape. Unlike the original a host that never booted exports 0 instead
of being absent, so that an alert can see it; a retired host exports nothing, since it is not meant to boot.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric

from services.epoxy import store

_LOG = logging.getLogger("epoxy.metrics")


class Metrics:
    """What the service counts."""

    def __init__(self, hosts: store.Store) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "epoxy_http_requests_total",
            "Requests by endpoint, method and status.",
            ("endpoint", "method", "code"),
            registry=self.registry,
        )
        self.durations = Histogram(
            "epoxy_http_request_duration_seconds",
            "Time from request to end of answer.",
            ("endpoint", "method"),
            registry=self.registry,
        )
        self.registry.register(_BootTimes(hosts))


class _BootTimes:
    """Reads the registry of hosts at each scrape; what cannot be read is absent, and `epoxy_store_up` says so."""

    def __init__(self, hosts: store.Store) -> None:
        self._hosts = hosts

    def describe(self) -> Iterator[Metric]:
        return iter(_families())

    def collect(self) -> Iterator[Metric]:
        boot, success, hosts, up = _families()
        try:
            rows = self._hosts.boot_times()
        except store.StoreError as error:
            _LOG.error("scrape without hosts", extra={"fields": {"error": str(error)}})
            up.add_metric((), 0)
            yield up
            return
        for row in rows:
            if not row.retired:
                boot.add_metric((row.name,), row.last_boot_ns / 1_000_000_000)
                success.add_metric((row.name,), row.last_success_ns / 1_000_000_000)
        retired = sum(row.retired for row in rows)
        hosts.add_metric(("active",), len(rows) - retired)
        hosts.add_metric(("retired",), retired)
        up.add_metric((), 1)
        yield from (boot, success, hosts, up)


def _families() -> tuple[GaugeMetricFamily, GaugeMetricFamily, GaugeMetricFamily, GaugeMetricFamily]:
    return (
        GaugeMetricFamily("epoxy_last_boot", "Time of the last stage1 request; 0: never.", labels=("machine",)),
        GaugeMetricFamily("epoxy_last_success", "Time of the last reported success; 0: never.", labels=("machine",)),
        GaugeMetricFamily("epoxy_hosts", "Host records by state.", labels=("state",)),
        GaugeMetricFamily("epoxy_store_up", "Whether the store answered this scrape."),
    )
