"""A real `named` on loopback with two zones, one for each worker of a test run, and other hands that change them."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dns.query
import dns.rcode
import dns.update

from reconcilers.providers.dns import marks
from reconcilers.providers.dns.lock import LABEL as LOCK
from reconcilers.providers.dns.update import UpdateServer, read_key
from services.local import nameserver
from services.local.probe import Check
from tests import waiting
from tests.faultproxy import closed_port

PARENT = "measurement-lab.test"
ZONE = f"mlab-sandbox.{PARENT}"
START_S = 120.0


@dataclass(frozen=True)
class NameServer:
    """A running server."""

    folder: Path
    port: int

    @property
    def where(self) -> str:
        """Its address."""
        return f"127.0.0.1:{self.port}"

    @property
    def key(self) -> dict[str, str]:
        """The reference of its key."""
        return {"secretRef": f"file:{self.folder / 'tsig.key'}"}

    def backend(self, **changes: Any) -> UpdateServer:
        """A new connection."""
        return UpdateServer(**{"server": self.where, "key": self.key, "ask": (), **changes})

    def update(self, zone: str = ZONE) -> dns.update.UpdateMessage:
        """An update by other hands, to be sent."""
        message = dns.update.UpdateMessage(zone)
        message.use_tsig(read_key(self.key))
        return message

    def send(self, message: dns.update.UpdateMessage) -> None:
        """Carry out an update."""
        answer = dns.query.tcp(message, "127.0.0.1", port=self.port, timeout=60)
        assert answer.rcode() == dns.rcode.NOERROR, answer

    def put(self, name: str, kind: str, *values: str, zone: str = ZONE, ttl_s: int = 300) -> None:
        """Replace one record set."""
        message = self.update(zone)
        message.delete(f"{name}.{zone}.", kind)
        for value in values:
            message.add(f"{name}.{zone}.", ttl_s, kind, value)
        self.send(message)

    def contents(self, zone: str = ZONE) -> dict[tuple[str, str], Any]:
        """Everything but the zone's own records."""
        found = self.backend().read(zone)
        return {key: value for key, value in found.items() if key[0] != zone or key[1] not in ("SOA", "NS")}

    def serial(self, zone: str = ZONE) -> int:
        """The zone's serial."""
        return int(self.backend().read(zone)[zone, "SOA"].values[0].split()[2])

    def empty(self) -> None:
        """Remove everything from both zones."""
        for zone in (ZONE, PARENT):
            message = self.update(zone)
            for name, kind in self.contents(zone):
                message.delete(f"{name}.", kind)
            self.send(message)


def owned(contents: dict[tuple[str, str], Any], zone: str = ZONE) -> dict[str, Any]:
    """Record sets that a list of ours names, and the lists' own names; no commits, no locks."""
    live = marks.live(zone, contents)
    found: dict[str, Any] = {
        f"{kind} {name}": (contents[name, kind].ttl_s, sorted(contents[name, kind].values))
        for name, kind in live.listed
        if (name, kind) in contents
    }
    found["lists"] = {name: sorted(listed.keys) for name, listed in live.lists.items()}
    return found


def locks(contents: dict[tuple[str, str], Any]) -> list[str]:
    """The names of all locks in a zone."""
    return [name for name, _ in contents if f".{LOCK}." in name]


@contextmanager
def running(programs: Path) -> Iterator[NameServer]:
    """Start it, wait until it answers for both zones, end it."""
    # Each update is flushed to the disk, which takes as long as all the rest of it: a disk in memory will do.
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="mlab-named-", dir=memory if memory.is_dir() else None) as folder:
        yield from _started(nameserver.program(programs), Path(folder))


def _started(program: Path, folder: Path) -> Iterator[NameServer]:
    zones = (PARENT, ZONE)
    port = closed_port()
    nameserver.prepare(folder, zones, port=port)
    log = folder / "log"
    command = [str(program), "-f", "-n", "1", "-L", str(log), "-c", str(folder / "named.conf")]
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    check = Check(dns=f"127.0.0.1:{port}", zones=" ".join(zones))
    try:
        waiting.until(
            lambda: not check.missing(),
            "the name server answers",
            limit_s=START_S,
            process=process,
            told=lambda: f"{check.missing()}: {log.read_text()}",
        )
        yield NameServer(folder, port)
    finally:
        process.kill()
        process.wait()
