from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from reconcilers.fleet import derive
from reconcilers.fleet.model import Fleet
from reconcilers.render import monitoring_targets as targets
from tests import fleet_values

DOMAIN = "measurement-lab.test"


def made(fleet: Fleet, project: str) -> dict[str, Any]:
    texts = targets.contents(fleet, project, DOMAIN)
    return {path: json.loads(text) for path, text in texts.items()}


@pytest.fixture
def small() -> Fleet:
    return fleet_values.fleet(fleet_values.lga05(), fleet_values.chs0t(), fleet_values.del02(), fleet_values.lga1t())


def test_an_experiments_file_has_a_record_for_each_machine(small: Fleet) -> None:
    records = made(small, "mlab-oti")["blackbox-targets/ndt7.json"]
    assert {
        "labels": {
            "experiment": "ndt.iupui",
            "ipv6": "present",
            "machine": f"mlab1-lga05.mlab-oti.{DOMAIN}",
            "module": "tcp_v4_tls_online",
            "service": "ndt7",
        },
        "targets": [f"ndt-iupui-mlab1-lga05.mlab-oti.{DOMAIN}:443"],
    } in records
    assert not [r for r in records if "mlab4-lga05" in r["targets"][0]], "mlab4 belongs to staging"


def test_an_ipv6_file_has_decorated_names_and_only_what_has_an_address(small: Fleet) -> None:
    files = made(small, "mlab-oti")
    of_ipv6 = files["blackbox-targets-ipv6/ndt7_ipv6.json"]
    assert f"ndt-iupui-mlab1v6-lga05.mlab-oti.{DOMAIN}:443" in [r["targets"][0] for r in of_ipv6]
    assert {r["labels"]["ipv6"] for r in of_ipv6} == {"present"}
    with_ipv6 = [r for r in files["blackbox-targets/ndt7.json"] if r["labels"]["ipv6"] == "present"]
    assert len(of_ipv6) == len(with_ipv6)


@pytest.mark.parametrize(
    ("path", "port", "service", "module"),
    [
        ("blackbox-targets/ndt7.json", 443, "ndt7", "tcp_v4_tls_online"),
        ("blackbox-targets/ndt_raw.json", 3001, "ndt_raw", "tcp_v4_online"),
        ("blackbox-targets/ndt_ssl.json", 3010, "ndt_ssl", "tcp_v4_tls_online"),
        ("blackbox-targets/neubot.json", 80, "neubot", "tcp_v4_online"),
        ("blackbox-targets/neubot_tls.json", 443, "neubot_tls", "tcp_v4_tls_online"),
        ("blackbox-targets/ssh.json", 22, "ssh", "ssh_v4_online"),
        ("blackbox-targets-ipv6/ndt_raw_ipv6.json", 3001, "ndt_raw_ipv6", "tcp_v6_online"),
        ("blackbox-targets-ipv6/ndt_ssl_ipv6.json", 3010, "ndt_ssl_ipv6", "tcp_v6_tls_online"),
        ("blackbox-targets-ipv6/neubot_ipv6.json", 80, "neubot_ipv6", "tcp_v6_online"),
        ("blackbox-targets-ipv6/neubot_tls_ipv6.json", 443, "neubot_tls_ipv6", "tcp_v6_tls_online"),
        ("blackbox-targets-ipv6/ssh_ipv6.json", 22, "ssh_ipv6", "ssh_v6_online"),
    ],
)
def test_a_probed_service_has_its_port_and_module(
    path: str, port: int, service: str, module: str, fleet: Fleet
) -> None:
    records = made(fleet, "mlab-oti")[path]
    assert records
    for record in records:
        (target,) = record["targets"]
        assert target.endswith(f".mlab-oti.{DOMAIN}:{port}")
        assert (record["labels"]["service"], record["labels"]["module"]) == (service, module)


@pytest.mark.parametrize(("service", "experiment"), [("neubot", "neubot.mlab"), ("ndt7", "ndt.iupui")])
def test_an_experiments_file_has_each_machine_once(service: str, experiment: str, fleet: Fleet) -> None:
    records = made(fleet, "mlab-oti")[f"blackbox-targets/{service}.json"]
    wanted = [
        h.machine.hostname for h in derive.under(fleet, DOMAIN).experiments_of("mlab-oti") if h.experiment == experiment
    ]
    assert sorted(record["labels"]["machine"] for record in records) == sorted(wanted)
    assert {record["labels"]["experiment"] for record in records} == {experiment}


def test_controllers_are_those_of_physical_machines(small: Fleet) -> None:
    records = made(small, "mlab-oti")["bmc-targets/bmc_e2e.json"]
    names = [record["targets"][0] for record in records]
    assert f"mlab1d-lga05.mlab-oti.{DOMAIN}" in names
    physical = {m.bmc_hostname for m in derive.under(small, DOMAIN).machines_of("mlab-oti") if m.type == "physical"}
    assert set(names) == physical


def test_switches_are_split_by_the_kind_of_site_because_they_have_no_project(fleet: Fleet) -> None:
    production, staging, sandbox = (
        made(fleet, project)["blackbox-targets/switches_ping.json"]
        for project in ("mlab-oti", "mlab-staging", "mlab-sandbox")
    )
    assert production == staging
    assert {record["labels"]["site"][-1] for record in sandbox} == {"t"}
    assert len(production) + len(sandbox) == len(derive.under(fleet, DOMAIN).switches)
    assert production[0]["labels"] == {"module": "icmp", "site": production[0]["labels"]["site"]}
    assert production[0]["targets"] == [f"s1-{production[0]['labels']['site']}.{DOMAIN}"]


def test_each_probed_machine_has_exactly_one_script_target(fleet: Fleet) -> None:
    # Locate takes a server out of rotation by this series: it must neither be lost nor doubled.
    records = made(fleet, "mlab-oti")["script-targets/wehe_client.json"]
    machines = [record["labels"]["machine"] for record in records]
    assert sorted(machines) == sorted(m.hostname for m in derive.under(fleet, DOMAIN).machines_of("mlab-oti"))
    assert all(record["labels"]["experiment"] == "wehe" for record in records)


def test_records_are_sorted_and_one_stands_on_each_line(small: Fleet) -> None:
    text = targets.contents(small, "mlab-oti", DOMAIN)["blackbox-targets/ndt7.json"]
    lines = text.splitlines()
    records = json.loads(text)
    assert len(lines) == len(records) + 2
    assert [r["targets"] for r in records] == sorted(r["targets"] for r in records)


def test_a_project_without_machines_gets_empty_arrays_and_not_missing_files() -> None:
    texts = targets.contents(dataclasses.replace(fleet_values.fleet(), sites={}), "mlab-oti", DOMAIN)
    assert len(texts) == len(targets.FILES)
    assert set(texts.values()) == {"[]\n"}
