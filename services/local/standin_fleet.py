"""What the far-away fleet would answer: plausible samples for any name and port, the same for the same question.

Pure: a question and a moment give a text in Prometheus' exposition format 0.0.4. Values that never change come from
a hash of the name, counters grow with time at a rate that comes from it. What kind of program is asked shows in the
path (`/probe`, `/v1/e2e`, …), in a service's name, or in the port, as deployed on the fleet.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

EPOCH_S = 1_700_000_000
"""When all counters of this fleet began."""
DAY_S = 86_400
DATATYPES = ("annotation2", "pcap", "scamper1", "tcpinfo")
_MACHINE = re.compile(r"(?:[a-z0-9-]+-)?(mlab[1-4])(?:d|v4|v6)?-([a-z]{3}[0-9][0-9t]\.[a-z0-9.-]+)")
_NODE = re.compile(r"/api/v1/nodes/([^/]+)/proxy/")


@dataclass(frozen=True, slots=True)
class Question:
    """One scrape or probe: who is asked, and what about whom."""

    host: str
    port: int
    path: str
    target: str
    name: str
    module: str

    @property
    def about(self) -> frozenset[str]:
        """Every name that this is about: one of them being down makes it fail."""
        return frozenset(part for part in (self.host, self.target, machine_of(self.target)) if part)


@dataclass(frozen=True, slots=True)
class Faults:
    """What is broken on purpose: names that are down, machines that are in maintenance."""

    down: frozenset[str] = frozenset()
    maintenance: frozenset[str] = frozenset()


def question(url: str) -> Question:
    """Take the absolute form of a request apart. Raises `ValueError`."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError(f"{url[:80]!r} is no absolute http URL")
    query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    target = query.get("target", "")
    node = _NODE.match(parts.path)
    if node is not None:
        target = unquote(node[1])
    host = urlsplit(target).hostname if "://" in target else target.partition(":")[0]
    return Question(
        host=parts.hostname,
        port=parts.port or 80,
        path=parts.path,
        target=(host or "").rstrip("."),
        name=query.get("name", ""),
        module=query.get("module", ""),
    )


def machine_of(name: str) -> str:
    """The machine behind an experiment's, a decorated or a controller's name; "" for any other name."""
    found = _MACHINE.fullmatch(name)
    return f"{found[1]}-{found[2]}" if found else ""


def answer(asked: Question, faults: Faults, seen: Iterable[str], now: float) -> str | None:
    """The samples, or None where whoever is asked is down. `seen` are the machines that anybody has asked about."""
    if asked.host in faults.down:
        return None
    healthy = not asked.about & faults.down
    if asked.path == "/probe" and asked.name:
        return _script(asked, healthy)
    if asked.path == "/probe":
        return _blackbox(asked, healthy, now)
    if asked.path == "/v1/e2e":
        status = "ok" if healthy else "error"
        labels = {"status": status, "target": asked.target}
        return _text([("reboot_e2e_success", {}, int(healthy)), ("reboot_e2e_result", labels, 1)])
    if asked.path == "/v1/check":
        status = "ok" if healthy else "config_not_found_switch"
        return _text([("switch_monitoring_config_match", {"target": asked.target, "status": status}, 1)])
    if not healthy:
        return None
    service = asked.host.partition(".")[0]
    if service in _SERVICES:
        return _text(_SERVICES[service](faults, seen, now))
    if asked.port in _PORTS:
        return _text([*_process(asked.host, now), *_PORTS[asked.port](asked.host, now)])
    return _text(_process(asked.host, now))


Sample = tuple[str, Mapping[str, str], float]


def _share(*parts: str) -> float:
    """A number from 0 to 1 that belongs to a name."""
    digest = hashlib.blake2b("/".join(parts).encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") / 0xFFFFFFFF


def _grown(per_s: float, now: float, *parts: str) -> float:
    """A counter: grows steadily, at 50 to 150 % of the rate."""
    return round((now - EPOCH_S) * per_s * (0.5 + _share(*parts)), 3)


def _text(samples: Iterable[Sample]) -> str:
    lines = []
    for name, labels, value in samples:
        inner = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        lines.append(f"{name}{{{inner}}} {value}" if inner else f"{name} {value}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _script(asked: Question, healthy: bool) -> str:
    labels = {"script": asked.name}
    seconds = round(2 + 8 * _share(asked.target, "script"), 6)
    return _text(
        [
            ("script_duration_seconds", labels, seconds),
            ("script_success", labels, int(healthy)),
            ("script_exit_code", labels, 0 if healthy else 2),
        ]
    )


def _blackbox(asked: Question, healthy: bool, now: float) -> str:
    samples: list[Sample] = [
        ("probe_success", {}, int(healthy)),
        ("probe_duration_seconds", {}, round(0.01 + 0.3 * _share(asked.target, "rtt"), 6) if healthy else 9.0),
    ]
    if healthy and ("tls" in asked.module or "nginx" in asked.module):
        # Renewed every 60 days for 90, so never less than a month away.
        begun = now - (now + DAY_S * 60 * _share(asked.target, "certificate")) % (DAY_S * 60)
        samples.append(("probe_ssl_earliest_cert_expiry", {}, round(begun + DAY_S * 90)))
    return _text(samples)


def _process(host: str, now: float) -> list[Sample]:
    return [
        ("process_cpu_seconds_total", {}, _grown(0.05, now, host, "cpu")),
        ("process_resident_memory_bytes", {}, round(2e7 + 2e8 * _share(host, "rss"))),
        ("process_start_time_seconds", {}, EPOCH_S + round(DAY_S * _share(host, "start"))),
    ]


def _node_exporter(host: str, now: float) -> list[Sample]:
    size = 900e9
    data = {"device": "/dev/mapper/data", "fstype": "ext4", "mountpoint": "/cache/data"}
    up = DAY_S * (10 + 40 * _share(host, "boot"))
    return [
        ("node_time_seconds", {}, round(now, 3)),
        ("node_boot_time_seconds", {}, round(now - now % DAY_S - up)),
        ("node_load1", {}, round(4 * _share(host, "load"), 2)),
        ("node_memory_MemTotal_bytes", {}, 67_387_392_000),
        ("node_memory_MemAvailable_bytes", {}, round(67_387_392_000 * (0.4 + 0.4 * _share(host, "mem")))),
        ("node_filesystem_size_bytes", data, size),
        ("node_filesystem_avail_bytes", data, round(size * (0.3 + 0.6 * _share(host, "disk")))),
        ("node_edac_uncorrectable_errors_total", {"controller": "0"}, 0),
        ("node_edac_correctable_errors_total", {"controller": "0"}, 0),
        ("node_configure_qdisc_success", {}, 1),
    ]


def _measurement(host: str, now: float) -> list[Sample]:
    result = "ndt7_client_test_results_total"
    tests: list[Sample] = [
        (result, {"protocol": "ndt7+wss", "direction": way, "result": "okay-with-rate"}, _grown(0.2, now, host, way))
        for way in ("download", "upload")
    ]
    return [("lame_duck_experiment", {}, 0), *tests]


def _pusher(host: str, now: float) -> list[Sample]:
    samples: list[Sample] = []
    for datatype in DATATYPES:
        labels = {"datatype": datatype}
        age = 600 + 7200 * _share(host, datatype)
        samples.append(("pusher_finder_mtime_lower_bound", labels, round(now - now % 600 - age)))
        samples.append(("pusher_bytes_per_tarfile_sum", labels, _grown(2000, now, host, datatype)))
    return samples


def _maintenance(faults: Faults, seen: Iterable[str], now: float) -> list[Sample]:
    return [
        (
            "gmx_machine_maintenance",
            {"machine": name, "node": name, "site": name[6:11]},
            int(name in faults.maintenance),
        )
        for name in sorted({*seen, *faults.maintenance})
    ]


def _boots(faults: Faults, seen: Iterable[str], now: float) -> list[Sample]:
    samples: list[Sample] = []
    for name in sorted(seen):
        boot = EPOCH_S + round(DAY_S * _share(name, "boot"))
        samples.append(("epoxy_last_boot", {"machine": name}, boot))
        samples.append(("epoxy_last_success", {"machine": name}, boot + 240))
    return samples


_SERVICES: Mapping[str, Callable[[Faults, Iterable[str], float], list[Sample]]] = {
    "gmx": _maintenance,
    "epoxy-boot-api": _boots,
}
_PORTS: Mapping[int, Callable[[str, float], list[Sample]]] = {
    9100: _node_exporter,
    9990: _measurement,
    9995: _pusher,
}
