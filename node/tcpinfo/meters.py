"""The program's metrics. Names, labels and buckets are those that the public platform's rules and dashboards read."""

from __future__ import annotations

import prometheus_client
from prometheus_client import Counter, Gauge, Histogram

_SYSCALL_STEPS = (1, 1.25, 1.6, 2, 2.5, 3.2, 4, 5, 6.3, 7.9)
_COUNT_STEPS = (1, 1.25, 1.6, 2, 2.5, 3.2, 4, 5, 6.3, 7.9)
_RATE_STEPS = (1, 1.58, 2.51, 3.98, 6.31)
_FINE_STEPS = (1, 1.26, 1.58, 2, 2.51, 3.16, 3.98, 5.01, 6.31, 7.94)

SYSCALL_SECONDS = (
    *(round(step * 10**power, 9) for power in (-3, -2) for step in _SYSCALL_STEPS),
    0.1,
    0.125,
    0.16,
    0.2,
)
INTERVAL_SECONDS = tuple(n / 1000 for n in range(30))
COUNTS = (
    *(1, 2, 3, 4, 5, 6, 8),
    *(float(f"{step * 10**power:.6g}") for power in (1, 2, 3, 4) for step in _COUNT_STEPS),
    1e7,
)
RATES = (
    *(0, 1, 10, 100),
    *(float(f"{step * 10**power:.6g}") for power in range(3, 9) for step in _RATE_STEPS),
    *(float(f"{step * 1e9:.6g}") for step in _FINE_STEPS),
    1e10,
)
ERRORS = ("wrong seq num", "wrong pid", "NLMSG_ERROR")


class Meters:
    """What is counted. Children of labels exist from the start, at 0."""

    def __init__(self, registry: prometheus_client.CollectorRegistry) -> None:
        def histogram(name: str, meaning: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"tcpinfo_{name}", meaning, labels, buckets=buckets, registry=registry)

        def counter(name: str, meaning: str, *labels: str) -> Counter:
            return Counter(f"tcpinfo_{name}", meaning, labels, registry=registry)

        self.syscall_s = histogram("syscall_time_histogram", "Time of one dump.", SYSCALL_SECONDS, "af")
        self.interval_s = histogram("polling_interval_histogram", "Time between polls.", INTERVAL_SECONDS)
        self.connections = histogram("connection_count_histogram", "Sockets of a dump.", COUNTS, "af")
        self.cached = histogram("cache_count_histogram", "Connections that are followed.", COUNTS)
        self.sent_bits = histogram("send_rate_histogram", "Bits sent in each second.", RATES)
        self.received_bits = histogram("receive_rate_histogram", "Bits received in each second.", RATES)
        self.errors = counter("error_total", "Dumps that were abandoned.", "type")
        self.files = counter("new_file_total", "Files that appeared.")
        self.snapshots = counter("snapshot_total", "Snapshots written.")
        self.flows = counter("flow_events_total", "Connections that opened and closed.", "event")
        self.late = counter("late_polls_total", "Polls that were skipped because the one before took too long.")
        self.interrupted = counter("interrupted_dumps_total", "Dumps during which the kernel's tables changed.")
        self.overflows = counter("destroy_overflows_total", "Times that the kernel could not queue ended sockets.")
        self.finals = counter("final_snapshots_total", "Connections that ended, by how their end was seen.", "from")
        self.file_errors = counter("file_errors_total", "Writes that failed and will be tried again.")
        self.dropped = counter("dropped_snapshots_total", "Snapshots given up because the disk refused for long.")
        self.clients_dropped = counter("eventsocket_dropped_clients_total", "Readers of events that were too slow.")
        self.clients = Gauge("tcpinfo_eventsocket_clients", "Readers of events.", registry=registry)
        for family in ("ipv4", "ipv6"):
            self.syscall_s.labels(family)
            self.connections.labels(family)
        for kind in ERRORS:
            self.errors.labels(kind)
        for event in ("open", "close"):
            self.flows.labels(event)
        for source in ("destroy", "poll"):
            self.finals.labels(source)
