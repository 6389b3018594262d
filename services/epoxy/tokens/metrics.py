"""What the two programs count. The names of the extension server's histograms are the original's."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

BUCKETS = (0.001, 0.01, 0.1, 1, 5, 10, 30, 60, 120, 300)


class ServerMetrics:
    """Durations of each operation by method and status, and callers that were turned away."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.tokens = self._histogram("allocate_k8s_token")
        self.nodes = self._histogram("node")
        self.refused = Counter(
            "epoxy_extension_refused_total", "Callers turned away.", ("reason",), registry=self.registry
        )

    def _histogram(self, operation: str) -> Histogram:
        return Histogram(
            f"{operation}_request_duration_seconds",
            "Time from request to answer.",
            ("method", "code"),
            buckets=BUCKETS,
            registry=self.registry,
        )


class ApproverMetrics:
    """Decisions, failures, and how old the approver's view is."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.decisions = Counter(
            "epoxy_approver_decisions_total",
            "Requests for certificates by decision and reason.",
            ("decision", "reason"),
            registry=self.registry,
        )
        self.failures = Counter("epoxy_approver_failures_total", "Failures of the API server.", registry=self.registry)
        self.expired = Counter(
            "epoxy_approver_expired_tokens_total", "Tokens swept because they expired.", registry=self.registry
        )
        self.tokens = Gauge("epoxy_approver_tokens", "Tokens that may be used now.", registry=self.registry)
        self.synced = Gauge(
            "epoxy_approver_last_sync_timestamp_seconds",
            "When it last knew every request, as seconds since 1970.",
            registry=self.registry,
        )
