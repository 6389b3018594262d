"""Every machine of a fleet starts at once: one connection each, all stages, timed; and the server's own figures."""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from services.epoxy import records, store
from tests.epoxy import machine
from tests.epoxy_service import Service

HOSTS = 514


@dataclass(frozen=True, slots=True)
class Storm:
    """What the machines saw: seconds of each answer, statuses other than expected."""

    seconds: Sequence[float]
    errors: Sequence[str]

    def quantile_s(self, share: float) -> float:
        return sorted(self.seconds)[int(share * (len(self.seconds) - 1))]


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used so far."""

    cpu_s: float
    peak_mib: float


def fleet(service: Service, count: int = HOSTS) -> list[machine.Machine]:
    """That many hosts, written beside the service."""
    beside = store.connect(service.store_url)
    urls = {key: f"https://boot.test/v1/storage/{{{{VERSION}}}}/{key}" for key in records.SEQUENCE_KEYS}
    made = []
    for number in range(count):
        name, address = f"mlab{number % 4 + 1}-s{number:04d}.test", f"198.19.{number // 250}.{number % 250 + 1}"
        desired = records.Desired(name, address, urls, urls, "v1", (), False, False, None)
        beside.put(desired, expected=None)
        made.append(machine.Machine(service, name, address))
    beside.close()
    return made


def usage(service: Service) -> Usage:
    """Of the running process."""
    assert service.process is not None
    place = Path("/proc") / str(service.process.pid)
    fields = (place / "stat").read_text().rpartition(")")[2].split()
    peak = re.search(r"VmHWM:\s+(\d+) kB", (place / "status").read_text())
    assert peak is not None
    return Usage((int(fields[11]) + int(fields[12])) / 100, int(peak[1]) / 1024)


def served_within_s(service: Service, share: float) -> float:
    """The bound of the server's own histogram below which that share of its boot answers lies."""
    text = service.call("GET", "/metrics", token=None).text
    found: dict[float, float] = {}
    pattern = r'^epoxy_http_request_duration_seconds_bucket\{endpoint="(?:stage\w+|report)",le="([^"]+)".*\} (\S+)$'
    for bound, count in re.findall(pattern, text, re.MULTILINE):
        found[float(bound)] = found.get(float(bound), 0) + float(count)
    return min(bound for bound, count in found.items() if count >= share * found[float("inf")])


def run(hosts: Sequence[machine.Machine], base: str, tls: ssl.SSLContext | None = None) -> Storm:
    """All of them at once, each over a connection of its own."""
    return asyncio.run(_run(hosts, base, tls))


async def _run(hosts: Sequence[machine.Machine], base: str, tls: ssl.SSLContext | None) -> Storm:
    seconds: list[float] = []
    errors: list[str] = []

    async def boot(host: machine.Machine) -> None:
        connector = aiohttp.TCPConnector(limit=1, ssl=tls if tls is not None else True)
        async with aiohttp.ClientSession(
            connector=connector, headers={"X-Forwarded-For": host.address}, timeout=aiohttp.ClientTimeout(total=120)
        ) as session:
            urls = {"stage1": host.path("stage1.ipxe")}
            for stage, expected in (("stage1", 200), ("stage2", 200), ("stage3", 200), ("report", 204)):
                form = machine.FORM if stage == "stage1" else {"message": "success"}
                begun = time.monotonic()
                async with session.post(base + urls[stage], data=form) as answer:
                    text = await answer.text()
                seconds.append(time.monotonic() - begun)
                if answer.status != expected:
                    errors.append(f"{host.name} {stage}: {answer.status} {text[:80]}")
                    return
                urls.update(re.findall(r"^set (\w+)_url https://boot.test(\S+)$", text, re.MULTILINE))

    await asyncio.gather(*(boot(host) for host in hosts))
    return Storm(seconds, errors)


def stage1(hosts: Sequence[machine.Machine], base: str, rounds: int) -> None:
    """Stage1 alone, each host `rounds` times, over few connections that stay open."""
    asyncio.run(_stage1(hosts, base, rounds))


async def _stage1(hosts: Sequence[machine.Machine], base: str, rounds: int) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=32)) as session:

        async def ask(host: machine.Machine) -> None:
            headers = {"X-Forwarded-For": host.address}
            async with session.post(base + host.path("stage1.ipxe"), data=machine.FORM, headers=headers) as answer:
                assert answer.status == 200, await answer.text()

        for _ in range(rounds):
            await asyncio.gather(*(ask(host) for host in hosts))
