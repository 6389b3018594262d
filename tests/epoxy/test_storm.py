"""Every machine of the fleet starts at once."""

from __future__ import annotations

import time
from pathlib import Path

from tests.epoxy import machine, storm
from tests.epoxy_service import Service

PEAK_MIB = 250


def test_all_machines_of_the_fleet_boot_at_once_without_an_error(tmp_path: Path) -> None:
    service = Service(tmp_path, *machine.PROXY)
    try:
        service.start()
        hosts = storm.fleet(service)
        begun = time.monotonic()
        seen = storm.run(hosts, service.url)
        used = storm.usage(service)
        print(f"p99 {seen.quantile_s(0.99):.2f} s, all {time.monotonic() - begun:.1f} s, {used}")
        assert list(seen.errors) == []
        assert len(seen.seconds) == 4 * storm.HOSTS
        assert used.peak_mib < PEAK_MIB
        text = service.call("GET", "/metrics", token=None).text
        assert f'epoxy_stage_transitions_total{{stage="done"}} {float(storm.HOSTS)}' in text
        assert f'epoxy_hosts_by_stage{{stage="done"}} {float(storm.HOSTS)}' in text
    finally:
        service.kill()
