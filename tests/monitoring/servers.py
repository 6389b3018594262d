"""A real Prometheus and a real Alertmanager on one directory, one pair for each worker of a test run."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from reconcilers.providers.monitoring.provider import Monitoring, Settings
from services.local import programs
from tests import waiting
from tests.faultproxy import closed_port

SCOPE = "sandbox/monitoring"
PROMETHEUS = "global: {scrape_interval: 1m}\n"
ALERTMANAGER = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"
START_S = 120.0


@dataclass(frozen=True)
class Pair:
    """Two running servers and the directory that they read."""

    directory: Path
    prometheus_url: str
    alertmanager_url: str

    def settings(self, **changes: str) -> Settings:
        """What an environment would say of them."""
        values = {
            "prometheus_url": self.prometheus_url,
            "alertmanager_url": self.alertmanager_url,
            "promtool": str(programs.path("promtool")),
            "amtool": str(programs.path("amtool")),
        }
        values.update(changes)
        return Settings(directory=self.directory, **values)

    def provider(self, **changes: str) -> Monitoring:
        """A new provider of them, as a new process would make it."""
        return Monitoring(SCOPE, self.settings(**changes))

    def reset(self) -> None:
        """An empty directory but for the two files without which no server starts; both loaded."""
        for entry in self.directory.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        _first(self.directory)
        self.reload()

    def reload(self) -> None:
        """Make both read their files."""
        for url in (self.prometheus_url, self.alertmanager_url):
            requests.post(f"{url}/-/reload", timeout=30).raise_for_status()

    def groups(self) -> set[str]:
        """The rule groups that Prometheus runs."""
        answer = requests.get(f"{self.prometheus_url}/api/v1/rules", timeout=60).json()
        return {group["name"] for group in answer["data"]["groups"]}

    def tree(self) -> dict[str, str]:
        """Every file below the directory but the lock's guard."""
        return {
            str(path.relative_to(self.directory)): path.read_text()
            for path in sorted(self.directory.rglob("*"))
            if path.is_file() and not path.name.startswith(".mlab-lock")
        }


def _first(directory: Path) -> None:
    for name, text in (("prometheus/prometheus.yml", PROMETHEUS), ("alertmanager/alertmanager.yml", ALERTMANAGER)):
        (directory / name).parent.mkdir(parents=True)
        (directory / name).write_text(text)


@contextmanager
def running(folder: Path) -> Iterator[Pair]:
    """Start both, wait until they are ready, stop them at the end."""
    directory = folder / "monitoring"
    directory.mkdir()
    _first(directory)
    ports = closed_port(), closed_port()
    commands = (
        [
            str(programs.path("prometheus")),
            f"--config.file={directory}/prometheus/prometheus.yml",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{ports[0]}",
            "--web.enable-lifecycle",
        ],
        [
            str(programs.path("alertmanager")),
            f"--config.file={directory}/alertmanager/alertmanager.yml",
            f"--storage.path={folder}/silences",
            f"--web.listen-address=127.0.0.1:{ports[1]}",
            "--cluster.listen-address=",
        ],
    )
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    started = []
    try:
        for number, command in enumerate(commands):
            with (folder / f"log{number}").open("wb") as log:
                started.append(subprocess.Popen(command, stdout=log, stderr=log))
        for process, url in zip(started, urls, strict=True):
            _ready(process, url, folder)
        yield Pair(directory, *urls)
    finally:
        for process in started:
            process.kill()
            process.wait()


def _ready(process: subprocess.Popen[bytes], url: str, folder: Path) -> None:
    def ready() -> bool:
        try:
            return requests.get(f"{url}/-/ready", timeout=60).status_code == 200
        except requests.RequestException:
            return False

    def logs() -> str:
        return "\n".join(log.read_text()[-2000:] for log in folder.glob("log*"))

    waiting.until(ready, f"{url} is ready", limit_s=START_S, step_s=0.05, process=process, told=logs)
