from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from reconcilers.core.model import Id, Resource, Span
from reconcilers.core.provider import Provider
from reconcilers.providers.monitoring import files
from tests import faultproxy
from tests.conformance import suite
from tests.monitoring import servers

MAIN = "prometheus/prometheus.yml"
ROUTES = "alertmanager/alertmanager.yml"


def file(name: str, content: str, *deps: str) -> Resource:
    ids = frozenset(Id("File", dep) for dep in deps)
    adopt = name in (MAIN, ROUTES)
    return Resource(Id("File", name), {"content": content}, Span("config/alerts/x.yaml", 1), deps=ids, adopt=adopt)


def prometheus(*groups: str) -> str:
    listed = ", ".join(f"rules/{group}.yml" for group in groups)
    jobs = "[{job_name: probes, proxy_url: 'http://127.0.0.1:9', file_sd_configs: [{files: ['targets/t/*.json']}]}]"
    return f"global: {{evaluation_interval: 60s}}\nrule_files: [{listed}]\nscrape_configs: {jobs}\n"


def rules(group: str, expression: str) -> str:
    return f"groups: [{{name: {group}, rules: [{{alert: A, expr: '{expression}', labels: {{severity: page}}}}]}}]\n"


def targets(*hosts: str) -> str:
    return json.dumps([{"labels": {"machine": host}, "targets": [f"{host}:443"]} for host in hosts])


def routes(wait: str) -> str:
    return f"route: {{receiver: r, group_wait: {wait}}}\nreceivers: [{{name: r}}]\n"


class Harness:
    """The provider against real servers."""

    first: Sequence[Resource] = (
        file("prometheus/rules/a.yml", rules("a", "up == 0")),
        file("prometheus/rules/b.yml", rules("b", "sum(up) by (job) < 0.90")),
        file("prometheus/targets/t/one.json", targets("m1", "m2")),
        file("prometheus/targets/t/two.json", targets("m3"), MAIN),
        file(MAIN, prometheus("a", "b")),
        file(ROUTES, routes("30s")),
    )
    second: Sequence[Resource] = (
        file("prometheus/rules/a.yml", rules("a", "up < 1")),
        file("prometheus/rules/c.yml", rules("c", "absent(up)")),
        file("prometheus/targets/t/one.json", targets("m1", "m2", "m4")),
        file(MAIN, prometheus("a", "c")),
        file(ROUTES, routes("1m")),
    )
    lock_ttl_s = 0.2

    def __init__(self, pair: servers.Pair) -> None:
        self.pair = pair
        self.made: list[Provider] = []
        self._remove_main_files()

    def provider(self) -> Provider:
        return self._made(self.pair.provider())

    def unreachable(self) -> Provider:
        return self._made(self.pair.provider(prometheus_url=f"http://127.0.0.1:{faultproxy.closed_port()}"))

    def reset(self) -> None:
        self.pair.reset()
        self._remove_main_files()

    def state(self) -> Any:
        index = files.load_index(self.pair.directory)
        return {name: (files.read(self.pair.directory, name), entry.scope) for name, entry in index.items()}

    def put_unmarked(self, resource: Resource) -> None:
        files.put(self.pair.directory, resource.id.name, rules("other", "vector(1)").encode())

    def put_foreign(self) -> Id:
        files.put(self.pair.directory, "prometheus/rules/hand.yml", rules("hand", "vector(2)").encode())
        files.put(self.pair.directory, "prometheus/targets/t/hand.json", targets("hand").encode())
        return Id("File", "prometheus/rules/hand.yml")

    def foreign_state(self) -> Any:
        paths = [self.pair.directory / "prometheus" / name for name in ("rules/hand.yml", "targets/t/hand.json")]
        return [(path.read_bytes(), path.stat().st_mtime_ns) for path in paths]

    def drift(self) -> Id:
        path = self.pair.directory / "prometheus/rules/b.yml"
        path.write_text(path.read_text().replace("0.90", "0.10"))
        return Id("File", "prometheus/rules/b.yml")

    def close(self) -> None:
        for provider in self.made:
            provider.close()

    def _made(self, provider: Provider) -> Provider:
        self.made.append(provider)
        return provider

    def _remove_main_files(self) -> None:
        # The suite's first apply creates everything; the servers go on with what they have loaded.
        for tree in files.TREES:
            shutil.rmtree(self.pair.directory / tree)


class TestMonitoring(suite.Conformance):
    @pytest.fixture
    def harness(self, pair: servers.Pair) -> Iterator[Harness]:
        harness = Harness(pair)
        yield harness
        harness.close()
