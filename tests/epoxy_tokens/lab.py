"""A real control plane with the accounts and rights of the two programs, and the programs as processes."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests
import yaml

from services.epoxy.tokens import api as kubernetes
from services.epoxy.tokens import bootstrap
from services.local import controlplane, joining, probe
from tests import waiting
from tests.joining import Api

ROOT = Path(__file__).parents[2]
API_ADDRESS = "api-platform-cluster.mlab-sandbox.measurement-lab.test:6443"
DOMAIN = "mlab-sandbox.measurement-lab.test"


@dataclass(frozen=True, slots=True)
class Lab:
    """The administrator's view of the cluster, and the files of the accounts."""

    admin: Api
    accounts: joining.Accounts
    folder: Path

    def account(self, file: Path, limits: kubernetes.Limits = kubernetes.DEFAULTS) -> kubernetes.Api:
        """The API server for one of the programs' accounts, by the programs' own client."""
        return kubernetes.Api(kubernetes.Place(self.admin.url, Path(self.admin.ca), file), limits)

    def approver(self) -> kubernetes.Api:
        return self.account(self.accounts.approver)

    def token(self, host: str) -> str:
        """A token of ours for a host, as the extension server makes it."""
        made = bootstrap.new()
        answer = self.admin.call("POST", bootstrap.PATH, bootstrap.manifest(made, host, datetime.now(UTC)))
        assert answer.status_code == 201, answer.text
        return made.text

    def secrets(self, host: str) -> list[dict[str, Any]]:
        """The Secrets of a host's tokens."""
        found = self.admin.call("GET", f"{bootstrap.PATH}?labelSelector={bootstrap.host_selector(host)}")
        items: list[dict[str, Any]] = found.json()["items"]
        return items


@contextmanager
def prepared(kubeconfig: Path, folder: Path) -> Iterator[Lab]:
    """Give the programs their accounts in a running control plane."""
    config = yaml.safe_load(kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    files = {
        "ca": base64.b64decode(cluster["certificate-authority-data"]),
        "crt": base64.b64decode(user["client-certificate-data"]),
        "key": base64.b64decode(user["client-key-data"]),
    }
    for name, content in files.items():
        (folder / f"admin.{name}").touch(mode=0o600)
        (folder / f"admin.{name}").write_bytes(content)
    access = probe.Access(cluster["server"], *(folder / f"admin.{name}" for name in files))
    accounts = joining.prepare(controlplane.Place("tests", folder, folder), access)
    admin = Api(access.url, str(access.ca), (str(access.certificate), str(access.key)))
    yield Lab(admin, accounts, folder)


class Program:
    """One of the two programs as a process."""

    def __init__(self, lab: Lab, program: str, arguments: Sequence[str]) -> None:
        self.log = lab.folder / f"{program}-{os.urandom(4).hex()}.log"
        command = [sys.executable, "-m", "services.epoxy.tokens", program, "--listen=127.0.0.1:0"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([*command, *arguments], cwd=ROOT, stdout=log, stderr=log)
        waiting.until(
            lambda: self.lines("listening"), "the program listens", process=self.process, told=self.log.read_text
        )

    def lines(self, message: str) -> list[dict[str, Any]]:
        """The log's lines with this message."""
        whole = [line for line in self.log.read_text().splitlines(keepends=True) if line.endswith("\n")]
        return [found for line in whole if (found := json.loads(line))["message"] == message]

    @property
    def address(self) -> str:
        return str(self.lines("listening")[0]["address"])

    def metric(self, line: str) -> float:
        """The value of one series, 0 if there is none."""
        text = requests.get(f"http://{self.address}/metrics", timeout=60).text
        return next((float(row.split()[-1]) for row in text.splitlines() if row.startswith(f"{line} ")), 0.0)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(120)


@contextmanager
def running(lab: Lab, program: str, *arguments: str) -> Iterator[Program]:
    """A program until the end of a test, which must be a clean one."""
    file = lab.accounts.approver if program == "approve" else lab.accounts.server
    words = [f"--server={lab.admin.url}", f"--ca={lab.admin.ca}", f"--token-file={file}", *arguments]
    made = Program(lab, program, words)
    try:
        yield made
    finally:
        if made.process.poll() is None:
            assert made.stop() == 0, made.log.read_text()


def server_arguments(lab: Lab) -> tuple[str, ...]:
    return f"--api-address={API_ADDRESS}", f"--caller-token-file={lab.accounts.callers}"


def host(number: int, site: str) -> str:
    """A machine's name; a site of its own keeps a test apart."""
    return f"mlab{number}-{site}.{DOMAIN}"
