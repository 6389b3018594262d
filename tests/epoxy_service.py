"""The real ePoxy service as a process of a test's own, and well-formed records to give it."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

from services.epoxy import records, sessions, store
from tests import waiting

ADMIN_TOKEN = "admin-token-of-this-test-only"
READ_TOKEN = "reader-token-of-this-test-only"
START_LIMIT_S = 120.0
ROOT = Path(__file__).parents[1]


class Service:
    """One service over one directory; `start` may be called again after `kill` or `stop`."""

    def __init__(self, directory: Path, *more: str, runs: tuple[str, ...] = ("-m", "services.epoxy")) -> None:
        self.directory = directory
        self.more = more
        self.runs = runs
        self.environment: dict[str, str] = {}
        self.database = directory / "epoxy.db"
        self.log = directory / "epoxy.log"
        self.admin_token_file = directory / "admin-token"
        self.read_token_file = directory / "read-token"
        self.admin_token_file.write_text(ADMIN_TOKEN + "\n")
        self.read_token_file.write_text(READ_TOKEN + "\n")
        self.store_url = f"sqlite://{self.database}"
        self.process: subprocess.Popen[bytes] | None = None
        self.address = ""
        self.linux_address = ""
        self.rom_address = ""

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def arguments(self) -> list[str]:
        return [
            *(sys.executable, *self.runs, "--listen", "127.0.0.1:0", "--store", self.store_url),
            *("--admin-token-file", str(self.admin_token_file), "--read-token-file", str(self.read_token_file)),
            *self.more,
        ]

    def start(self) -> Service:
        before = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.arguments(), cwd=ROOT, stdout=log, stderr=log, env={**os.environ, **self.environment}
            )

        def listening() -> bool:
            with self.log.open("rb") as log:
                log.seek(before)
                lines = log.read().decode().splitlines()
            found = [json.loads(line) for line in lines if '"listening"' in line and line.endswith("}")]
            if found:
                self.address = found[0]["address"]
                self.linux_address, self.rom_address = (found[0].get(f"{key}_address", "") for key in ("linux", "rom"))
            return bool(found)

        waiting.until(listening, "it listens", limit_s=START_LIMIT_S, process=self.process, told=self.log.read_text)
        return self

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process is None:
            return 0
        self.process.send_signal(number)
        code = self.process.wait(START_LIMIT_S)
        self.process = None
        return code

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    def call(
        self,
        method: str,
        path: str,
        *,
        token: str | None = ADMIN_TOKEN,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> requests.Response:
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        with requests.Session() as session:
            session.trust_env = False
            return session.request(method, self.url + path, headers=sent, timeout=30, **more)

    def create(self, body: dict[str, Any]) -> str:
        """Make a record; its etag."""
        answer = self.call("PUT", f"/admin/v1/hosts/{body['Name']}", json=body, headers={"If-None-Match": "*"})
        assert answer.status_code == 201, answer.text
        return answer.headers["ETag"]


def command_lines() -> str:
    """What `ps` would show of every process."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            try:
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
            except OSError:
                continue
    return os.linesep.join(found)


def name(number: int = 1, site: str = "lga05") -> str:
    return f"mlab{number}-{site}.mlab-sandbox.measurement-lab.test"


def spec(host: str | None = None, **changes: Any) -> dict[str, Any]:
    """The administrator's fields of a host, without protection and mark."""
    bucket = "https://storage.googleapis.com/epoxy-mlab-sandbox/{{VERSION}}"
    made = {
        "Name": host or name(),
        "IPv4Addr": "198.18.5.11",
        "Boot": _sequence(f"{bucket}/stage3_ubuntu"),
        "Update": _sequence(f"{bucket}/stage3_update"),
        "ImagesVersion": "v2.1.10",
        "Extensions": ["allocate_k8s_token", "bmc_store_password"],
        "Retired": False,
    }
    return {**made, **changes}


def record(host: str | None = None, **changes: Any) -> dict[str, Any]:
    """A whole body for a PUT."""
    return {**spec(host), "Protect": False, "Owner": None, **changes}


def _sequence(base: str) -> dict[str, str]:
    return {
        "stage1.ipxe": f"{base}/stage1to2.ipxe",
        "stage1.json": f"{base}/stage1to2.json",
        "stage2": f"{base}/stage2to3.json",
        "stage3": f"{base}/stage3post.json",
    }


def observe(hosts: store.Store, host: str, change: Callable[[records.Observed], records.Observed]) -> None:
    """Write the server's half of a record beside the service, as a boot would."""

    def changed(state: sessions.State) -> sessions.State:
        observed = change(state.host.observed)
        return dataclasses.replace(state, host=dataclasses.replace(state.host, observed=observed))

    (result,) = hosts.change([(host, changed)])
    assert isinstance(result, sessions.State), result


def age(service: Service, host: str, seconds: int) -> None:
    """Make the latest boot of a host older, beside the service."""

    def change(state: sessions.State) -> sessions.State:
        assert state.boot is not None
        began_ns = state.boot.began_ns - seconds * 1_000_000_000
        return dataclasses.replace(state, boot=dataclasses.replace(state.boot, began_ns=began_ns))

    beside = store.connect(service.store_url)
    beside.change([(host, change)])
    beside.close()
