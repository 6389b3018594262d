"""Both servers at one moment, compared with the directory: which file is what its server runs on."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconcilers.providers.monitoring import files, live
from reconcilers.providers.monitoring.checks import ALERTMANAGER, PROMETHEUS
from reconcilers.providers.monitoring.rules import TARGETS
from reconcilers.providers.monitoring.servers import Alertmanager, Prometheus, Servers


@dataclass(frozen=True, slots=True)
class State:
    """What the servers said, and the directory that they read."""

    directory: Path
    servers: Servers
    prometheus: Prometheus
    alertmanager: Alertmanager

    def loaded(self, name: str) -> bool:
        """Whether the server that reads this file runs on its present content."""
        if name.startswith("alertmanager/"):
            return self._alertmanager(name)
        if name.startswith(TARGETS):
            return True
        running = self.prometheus
        if not running.reload_ok or files.changed_at(self.directory, name) > running.reloaded:
            return False
        document = live.parse(files.read(self.directory, name) or b"")
        if name == PROMETHEUS:
            return live.covers(running.config, document)
        groups = next((found for file, found in running.groups.items() if file.endswith(f"/{name}")), ())
        return live.same_groups(groups, document, self.servers.formatted, self._evaluation_interval_s())

    def unproved(self, names: Collection[str], before: State) -> str:
        """What is still missing to believe a batch, or the empty text."""
        for new, old, url in (
            (self.prometheus, before.prometheus, self.servers.prometheus_url),
            (self.alertmanager, before.alertmanager, self.servers.alertmanager_url),
        ):
            if not new.reload_ok:
                return f"{url}: the last reload was not successful"
            if new.reloaded <= old.reloaded:
                return f"{url}: there was no reload"
        for name in sorted(names):
            if not self.loaded(name):
                return f"{self.directory / name}: the server does not run on this file"
        return ""

    def _alertmanager(self, name: str) -> bool:
        running = self.alertmanager
        if not running.reload_ok:
            return False
        content = files.read(self.directory, name) or b""
        if name != ALERTMANAGER:
            return files.changed_at(self.directory, name) <= running.reloaded  # a template: no copy to compare with
        if running.config_hash is not None and running.config_hash != live.alertmanager_hash(content):
            return False
        return live.covers(running.config, live.parse(content))

    def _evaluation_interval_s(self) -> float:
        config: Any = self.prometheus.config
        interval = config.get("global", {}).get("evaluation_interval", "1m") if isinstance(config, Mapping) else "1m"
        return (live.duration_ms(str(interval)) or 60_000) / 1000
