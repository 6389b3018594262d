"""Metrics in a registry of their own, so that tests and several services in one process do not mix.

`epoxy_last_boot` and `epoxy_last_success` keep the original's names, labels and unit (seconds since 1970, with a
fraction) and are read from the store at each scrape. Unlike the original a host that never booted exports 0 instead
of being absent, so that an alert can see it; a retired host exports nothing, since it is not meant to boot.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric

from services.epoxy import store

BOOT_BUCKETS_S = (15, 30, 60, 90, 120, 180, 300, 600, 1200, 1800, 3600, 7200)

_LOG = logging.getLogger("epoxy.metrics")


class Metrics:
    """What the service counts."""

    def __init__(self, hosts: store.Store, commit: str = "") -> None:
        self.registry = CollectorRegistry()
        if commit:
            version = Gauge(
                "git_short_commit", "The commit of the software, as a number.", ("commit",), registry=self.registry
            )
            version.labels(commit).set(int(commit, 16))
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
        self.stage1 = self._counter("epoxy_stage1_total", "Boots begun, by machine.", "machine")
        self.stage1_seconds = Histogram(
            "epoxy_request_duration_seconds", "Time of stage1.ipxe by status.", ("code",), registry=self.registry
        )
        self.unannounced = self._counter(
            "epoxy_stage1_unannounced_total", "Boots asked for by machines that are healthy.", "machine", "rule"
        )
        self.stages = self._counter("epoxy_stage_transitions_total", "Stages that boots reached.", "stage")
        self.refused = self._counter("epoxy_refused_total", "Boot requests refused.", "route", "reason")
        self.cut = self._counter("epoxy_connections_cut_total", "Connections ended for their behaviour.", "reason")
        self.tls = self._counter(
            "epoxy_tls_connections_total", "Connections by what was agreed.", "listener", "version", "cipher"
        )
        self.tls_failed = self._counter(
            "epoxy_tls_handshakes_failed_total", "Handshakes that came to nothing.", "listener", "reason"
        )
        self.certificate_until = self._gauge("epoxy_certificate_not_after_seconds", "When a certificate ends.")
        self.certificate_failures = self._gauge("epoxy_certificate_reload_failures", "New certificates not taken up.")
        self.boot_seconds = Histogram(
            "epoxy_boot_duration_seconds",
            "Time from stage1 to the reported success.",
            buckets=BOOT_BUCKETS_S,
            registry=self.registry,
        )
        self.extension_seconds = Histogram(
            "epoxy_extension_duration_seconds",
            "Time that extension servers took.",
            ("operation", "code"),
            registry=self.registry,
        )
        self.registry.register(_BootTimes(hosts))

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, ("listener",), registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)


class _BootTimes:
    """Reads the registry of hosts at each scrape; what cannot be read is absent, and `epoxy_store_up` says so."""

    def __init__(self, hosts: store.Store) -> None:
        self._hosts = hosts

    def describe(self) -> Iterator[Metric]:
        return iter(_families())

    def collect(self) -> Iterator[Metric]:
        boot, success, hosts, up, running, age = _families()
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
        now_s = time.time()
        for stage in ("never", "stage1", "stage2", "stage3", "done"):
            found = [row for row in rows if not row.retired and (row.stage or "never") == stage]
            running.add_metric((stage,), len(found))
            if stage not in ("never", "done"):
                oldest = min((row.last_boot_ns / 1_000_000_000 for row in found), default=now_s)
                age.add_metric((stage,), max(0.0, now_s - oldest))
        yield from (boot, success, hosts, up, running, age)


def _families() -> tuple[GaugeMetricFamily, ...]:
    return (
        GaugeMetricFamily("epoxy_last_boot", "Time of the last stage1 request; 0: never.", labels=("machine",)),
        GaugeMetricFamily("epoxy_last_success", "Time of the last reported success; 0: never.", labels=("machine",)),
        GaugeMetricFamily("epoxy_hosts", "Host records by state.", labels=("state",)),
        GaugeMetricFamily("epoxy_store_up", "Whether the store answered this scrape."),
        GaugeMetricFamily("epoxy_hosts_by_stage", "Hosts by the stage of their latest boot.", labels=("stage",)),
        GaugeMetricFamily("epoxy_unfinished_boot_age_seconds", "Age of the oldest boot in a stage.", labels=("stage",)),
    )
