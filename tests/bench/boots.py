"""The boot server: a storm of the whole fleet over TLS, and stage1 alone per second of the server's processor time."""

from __future__ import annotations

import ssl
import time
from pathlib import Path

from tests.bench.measure import row
from tests.epoxy import authorities, machine, storm
from tests.epoxy_service import Service

ROUNDS = 10


def rows(folder: Path) -> None:
    """Print the figures."""
    place = folder / "boots"
    place.mkdir()
    chain = authorities.serve(place, "rom", "rom")
    options = ("--rom-listen", "127.0.0.1:0", "--rom-certificate", str(chain))
    key = str(chain.with_suffix(".key"))
    service = Service(place, *machine.PROXY, *options, "--rom-key", key, "--stage1-limit", "50").start()
    try:
        hosts = storm.fleet(service)
        context = ssl.create_default_context(cafile=authorities.trust(place, "rom"))
        before, begun = storm.usage(service), time.monotonic()
        seen = storm.run(hosts, f"https://{service.rom_address}", context)
        after = storm.usage(service)
        name = f"{storm.HOSTS} boots over TLS"
        row(
            f"{name}: all stages", time.monotonic() - begun, after.peak_mib, f"{len(seen.errors)} errors; limit 250 MiB"
        )
        row(f"{name}: p99 seen by machines", seen.quantile_s(0.99), after.peak_mib, "limit 1 s")
        row(f"{name}: p99 at the server, at most", storm.served_within_s(service, 0.99), after.peak_mib, "")
        row(f"{name}: processor time", after.cpu_s - before.cpu_s, after.peak_mib, "")
        before = storm.usage(service)
        storm.stage1(hosts, service.url, ROUNDS)
        used_s = storm.usage(service).cpu_s - before.cpu_s
        rate = ROUNDS * len(hosts) / used_s
        print(f"{'stage1 a second of processor time':<44} {rate:7.0f}                  at least 1500", flush=True)
    finally:
        service.kill()
