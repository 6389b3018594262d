"""For every machine and every experiment of the configuration the plug-in gives the address that names point to.

The kernel command line is the published one, with which the machine boots; the expected address is the derived one,
which DNS, monitoring and the published files have.
"""

from __future__ import annotations

import json
from pathlib import Path

from reconcilers.fleet import derive, kernel
from reconcilers.load import fleet as loading
from tests.index2ip import plugin

ROOT = Path(__file__).parents[2]
DOMAIN = "measurement-lab.test"


def test_every_derived_address_of_an_experiment_is_the_one_that_the_node_gives() -> None:
    fleet = loading.load(ROOT).require()
    derived = derive.under(fleet, DOMAIN)
    lines = kernel.command_lines(fleet, DOMAIN, DOMAIN)
    answer = plugin.module().answer
    compared, indexes, lengths = 0, set(), set()
    for host in derived.experiments:
        if host.machine.hostname not in lines:
            continue
        stdin = json.dumps(plugin.config(host.index, "1.0.0")).encode()
        given = [entry["address"] for entry in answer("ADD", stdin, lines[host.machine.hostname])["ips"]]
        assert [address.partition("/")[0] for address in given] == [a for a in (host.ipv4, host.ipv6) if a], host
        compared += 1
        indexes.add(host.index)
        lengths.add(given[0].partition("/")[2])
    machines = {host.machine.hostname for host in derived.experiments} & lines.keys()
    assert machines == lines.keys()
    assert compared > 5 * len(machines) > 1000
    assert {"26", "28"} <= lengths and max(indexes) <= 12
