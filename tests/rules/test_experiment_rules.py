"""Experiments: index, data path, ports, cloud, services, selectors. Each way to be wrong, and the limits."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from reconcilers.fleet import locate, node_labels, rules
from reconcilers.fleet.model import Experiment
from reconcilers.fleet.past import Past, Tenure, Times
from reconcilers.fleet.rules import data_path, ports
from reconcilers.fleet.rules.rule import Absent
from services.local import machine_nodes
from tests import fleet_values as values
from tests.rules.subjects import TODAY, entity, experiment, fleet, over_time, problems

CHECKOUT = Path(__file__).resolve().parents[2]
OFF = {"measurement": False, "heartbeat": False, "revtr": False, "access": False}


def with_data(name: str = "demo", index: int | None = 1, **data: Any) -> dict[str, Experiment]:
    base = {"placements": [{"name": name, "type": "physical"}], "sidecars": OFF}
    return {name: experiment(name, index, data={**base, **data})}


def found(code: str, made: Mapping[str, Experiment], **parts: Any) -> list[str]:
    return problems(code, fleet(values.lga05(), values.chs0t(), experiments=made, **parts))


# E01

THEN = date(2026, 3, 1)


@pytest.mark.parametrize(("days", "count"), [(0, 1), (89, 1), (90, 0), (400, 0), (-1, 0)])
def test_an_index_rests_for_90_days_between_two_experiments(days: int, count: int) -> None:
    since = THEN + timedelta(days=days)
    past = Past(tenures=(Tenure("old", 4, date(2020, 1, 1), THEN, "abc1234"), Tenure("new", 4, since, None)))
    messages = over_time("E01", fleet(experiments={"new": experiment("new", 4)}), past)
    assert len(messages) == count
    assert all("was old's, which released it on 2026-03-01 in abc1234" in message for message in messages)
    assert all(f"wait until {date(2026, 5, 30)}" in message for message in messages)


@pytest.mark.parametrize(("days", "count"), [(89, 1), (90, 0)])
def test_what_is_not_committed_counts_as_today(days: int, count: int) -> None:
    past = Past(tenures=(Tenure("old", 4, date(2020, 1, 1), TODAY - timedelta(days=days), "abc1234"),))
    assert len(over_time("E01", fleet(experiments={"new": experiment("new", 4)}), past)) == count


def test_an_index_that_is_released_and_taken_at_once_did_not_rest() -> None:
    past = Past(tenures=(Tenure("old", 4, date(2020, 1, 1), None),))
    (message,) = over_time("E01", fleet(experiments={"new": experiment("new", 4)}), past)
    assert "released it only now" in message
    unread = Absent({"experiments": frozenset({"old"})})
    subject = fleet(experiments={"new": experiment("new", 4)})
    assert rules.check_over_time(subject, unread, Times(TODAY, past)) == ()


def test_an_experiment_may_take_its_own_index_back_and_keep_it() -> None:
    past = Past(tenures=(Tenure("own", 4, date(2020, 1, 1), THEN, "abc1234"), Tenure("own", 4, THEN, None)))
    assert over_time("E01", fleet(experiments={"own": experiment("own", 4)}), past) == []


# E02


def landing(*prefixes: str, to: str = "archive-{project}", **data: Any) -> dict[str, Any]:
    transfers = [{"to": to, "prefixes": list(prefixes)}] if prefixes else []
    pusher = entity("buckets", "pusher-{project}", transfers=transfers, **data)
    return {"buckets": {item.name: item for item in (pusher, entity("buckets", "archive-{project}"))}}


@pytest.mark.parametrize(
    ("archived", "autoloaded", "measures", "prefixes", "count"),
    [
        ((), (), False, ("ndt",), 0),
        (("ndt7",), (), False, ("demo",), 0),
        (("ndt7",), (), False, ("demo/ndt7",), 1),
        (("ndt7",), (), False, ("dem",), 1),
        (("ndt7",), (), False, ("ndt",), 1),
        ((), (), True, ("ndt",), 1),
        ((), ("ndt7",), False, ("demo",), 1),
        ((), ("ndt7",), False, ("autoload",), 0),
        ((), ("ndt7",), False, ("autoload/v1",), 0),
        ((), ("ndt7",), False, ("autoload/v2",), 1),
        (("ndt7",), ("ndt7",), True, (), 2),
    ],
)
def test_what_lands_is_moved_on(
    archived: tuple[str, ...], autoloaded: tuple[str, ...], measures: bool, prefixes: tuple[str, ...], count: int
) -> None:
    made = with_data(sidecars={**OFF, "measurement": measures})
    made["demo"] = dataclasses.replace(made["demo"], archived=archived, autoloaded=autoloaded)
    known = {"ndt7": entity("datatypes", "ndt7", schema=[{"name": "a"}])}
    assert len(found("E02", made, datatypes=known, **landing(*prefixes))) == count


def test_an_experiment_without_a_place_and_a_project_without_a_bucket_are_not_asked() -> None:
    made = with_data(placements=[], sidecars={**OFF, "measurement": True})
    assert found("E02", made, **landing("ndt")) == []
    runs = with_data(sidecars={**OFF, "measurement": True})
    assert found("E02", runs, **landing("ndt", projects=["mlab-sandbox"])) == []
    assert found("E02", runs) == []


@pytest.mark.parametrize(("columns", "count"), [([{"name": "a"}], 0), ([], 1), (None, 1)])
def test_an_autoloaded_datatype_has_columns(columns: Any, count: int) -> None:
    made = {"demo": dataclasses.replace(experiment("demo", 1), autoloaded=("x1",))}
    data = {} if columns is None else {"schema": columns}
    assert len(found("E02", made, datatypes={"x1": entity("datatypes", "x1", **data)})) == count


def test_a_datatype_that_does_not_exist_is_named_unless_its_file_merely_failed() -> None:
    made = {"demo": dataclasses.replace(experiment("demo", 1), archived=("x1",))}
    assert found("E02", made) == ["datatype x1 of demo does not exist; add config/datatypes/x1.yaml"]
    assert problems("E02", fleet(experiments=made), Absent({"datatypes": frozenset({"x1"})})) == []


def test_a_transfer_goes_to_a_bucket_that_exists() -> None:
    (message,) = found("E02", with_data(), **landing("ndt", to="archiv-{project}"))
    assert message.startswith("archiv-{project} is no bucket")
    assert data_path.LANDING == "pusher-{project}"


# E03


def container(name: str, *listed: int, metrics: int | None = None, protocol: str = "TCP") -> dict[str, Any]:
    declared = [{"name": f"p{port}", "port": port, "protocol": protocol} for port in listed]
    return {"name": name, "ports": declared, "metricsPort": metrics}


FIREWALL = {"tcp": ["9990-9999", 443]}
MEASURES = {**OFF, "measurement": True}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"container": {"ports": []}}, []),
        ({"container": {"ports": [], "metricsPort": None}, "containers": [container("x", 9990)]}, []),
        ({"container": {"ports": []}, "containers": [container("x", 9990)]}, ["x of demo listens on 9990"]),
        ({"container": {"ports": []}, "containers": [container("x", 9990, protocol="UDP")]}, []),
        ({"container": {"ports": [{"name": "m", "port": 9990}]}}, []),
        ({"containers": [container("x", 80), container("y", 81)]}, []),
        ({"containers": [container("x", 80), container("y", 80)]}, ["which is x's in this pod"]),
        ({"containers": [container("x", metrics=9991)], "sidecars": OFF}, []),
        ({"containers": [container("x", metrics=9991)], "sidecars": MEASURES}, ["which is tcp-info's"]),
        ({"containers": [container("x", metrics=9997)], "sidecars": MEASURES}, []),
        ({"containers": [container("x", metrics=9989)], "sidecars": {**OFF, "access": True}}, ["which is access's"]),
        ({"containers": [container("x", metrics=9996)], "sidecars": {**OFF, "heartbeat": True}}, ["is heartbeat's"]),
        ({"containers": [container("x", metrics=9998)], "sidecars": {**OFF, "revtr": True}}, ["is revtr-sidecar's"]),
    ],
)
def test_programs_of_one_pod_have_ports_of_their_own(data: Any, words: list[str]) -> None:
    messages = found("E03", with_data(**data))
    assert len(messages) == len(words) and all(part in text for part, text in zip(words, messages, strict=True))


def test_bundles_have_a_port_only_where_something_is_bundled() -> None:
    made = with_data(containers=[container("x", metrics=9997)], sidecars=MEASURES)
    made["demo"] = dataclasses.replace(made["demo"], autoloaded=("x1",))
    assert [message for message in found("E03", made) if "which is jostler's" in message]


def test_a_container_of_one_placement_meets_the_others_there() -> None:
    placed = [
        {"name": "a", "type": "physical", "containers": [container("x", 80)]},
        {"name": "b", "type": "physical", "containers": [container("y", 80)]},
    ]
    assert found("E03", with_data(placements=placed)) == []
    assert len(found("E03", with_data(placements=placed, containers=[container("z", 80)]))) == 2


@pytest.mark.parametrize(
    ("tcp", "count"),
    [
        (["9990-9999"], 0),
        (["9989-10000"], 0),
        (["9990-9994", "9995-9999"], 0),
        (list(range(9990, 10000)), 0),
        (["9991-9999"], 1),
        (["9990-9998"], 1),
        ([443], 1),
        ([], 1),
    ],
)
def test_the_firewall_opens_all_ports_of_metrics(tcp: Any, count: int) -> None:
    assert len(found("E03", with_data(firewall={"tcp": tcp}))) == count


@pytest.mark.parametrize(
    ("url", "tcp", "count"),
    [
        ("wss:///x", ["9990-9999", 443], 0),
        ("wss:///x", ["9990-9999", 80], 1),
        ("ws:///x", ["9990-9999", 80], 0),
        ("https://:8443/x", ["9990-9999", 443], 1),
        ("https://:8443/x", ["8443-9999"], 0),
        ("https://:8443/x", ["9990-9999", "8000-8442"], 1),
    ],
)
def test_the_firewall_opens_the_port_of_every_service(url: str, tcp: Any, count: int) -> None:
    assert len(found("E03", with_data(firewall={"tcp": tcp}, services={"demo/x": [url]}))) == count


@pytest.mark.parametrize(("tcp", "count"), [(["9989-9999"], 0), (["9990-9999"], 1), ([9989, "9990-9999"], 0)])
def test_the_firewall_opens_the_metrics_of_access(tcp: Any, count: int) -> None:
    made = with_data(firewall={"tcp": tcp}, sidecars={**OFF, "access": True})
    assert len(found("E03", made)) == count


def test_no_firewall_is_asked_of_the_hosts_network() -> None:
    assert found("E03", with_data(index=None, firewall=None, services={"demo/x": ["wss:///x"]})) == []


def test_ports_of_sidecars_are_those_that_the_pods_are_given() -> None:
    text = (CHECKOUT / "jsonnet/kubernetes/sidecars.libsonnet").read_text()
    block = re.search(r"local PORTS = \{(.*?)\};", text, re.S)
    assert block
    given = {name.strip("'"): int(port) for name, port in re.findall(r"([\w'-]+): (\d+)", block[1])}
    assert given == ports.SIDECARS


# E04

VIRTUAL = {"name": "v", "type": "virtual", "hostNetwork": True}
PHYSICAL = {"name": "p", "type": "physical"}


@pytest.mark.parametrize(
    ("cloud", "placements", "index", "count"),
    [
        (False, [PHYSICAL], 1, 0),
        (True, [PHYSICAL], 1, 1),
        (True, [], 1, 1),
        (True, [PHYSICAL, VIRTUAL], 1, 0),
        (False, [VIRTUAL], 1, 0),
        (False, [{**VIRTUAL, "hostNetwork": False}], 1, 1),
        (False, [PHYSICAL], None, 1),
        (False, [{**PHYSICAL, "hostNetwork": True}], None, 0),
    ],
)
def test_what_is_published_for_the_cloud_runs_there_on_the_hosts_network(
    cloud: bool, placements: Any, index: int | None, count: int
) -> None:
    made = with_data(index=index, placements=placements)
    made["demo"] = dataclasses.replace(made["demo"], cloud=cloud)
    assert len(found("E04", made)) == count


# E05

KEYS = {"name": "keys", "secret": "locate-verify-keys"}  # pragma: allowlist secret
MOUNT = {"volume": "keys", "path": "/verify"}
FLAG = "-token.verify-key=/verify/key.pub"


def serving(name: str, service: str, *urls: str, **data: Any) -> dict[str, Experiment]:
    return with_data(name, services={service: list(urls)}, **data)


@pytest.mark.parametrize(
    ("name", "service", "url", "words"),
    [
        ("pt", "pt/ndt7", "wss:///v0/ndt7/download", None),
        ("pt", "pt/ndt7", "wss:///v1/ndt7/download", "never ask for wss:///v1/ndt7/download"),
        ("pt", "pt/ndt8", "wss:///v0/ndt8/download", "no client of Locate asks for pt/ndt8"),
        ("demo", "pt/ndt7", "wss:///v0/ndt7/download", "services begin with the name of their experiment"),
        ("neubot", "neubot/dash", "https:///negotiate/dash", None),
        ("neubot", "neubot/dash", "https://:443/negotiate/dash", "never ask for"),
    ],
)
def test_services_are_those_that_clients_know(name: str, service: str, url: str, words: str | None) -> None:
    messages = found("E05", serving(name, service, url))
    assert len(messages) == (words is not None) and all((words or "") in text for text in messages)


@pytest.mark.parametrize(
    ("data", "count"),
    [
        ({}, 1),
        ({"sidecars": {**OFF, "access": True}}, 0),
        ({"container": {"args": [FLAG], "mounts": [MOUNT]}, "volumes": [KEYS]}, 0),
        ({"container": {"args": [f"-{FLAG}"], "mounts": [MOUNT]}, "volumes": [KEYS]}, 0),
        ({"container": {"args": [FLAG], "mounts": []}, "volumes": [KEYS]}, 1),
        ({"container": {"args": [FLAG], "mounts": [MOUNT]}, "volumes": []}, 1),
        ({"container": {"args": [FLAG], "mounts": [{**MOUNT, "path": "/ver"}]}, "volumes": [KEYS]}, 1),
        ({"container": {"args": [], "mounts": [MOUNT]}, "volumes": [KEYS]}, 1),
        (
            {
                "container": {"args": [], "mounts": []},
                "volumes": [KEYS],
                "placements": [{**PHYSICAL, "args": [FLAG], "mounts": [MOUNT]}, PHYSICAL],
            },
            1,
        ),
    ],
)
def test_a_service_whose_clients_bring_tokens_can_check_them(data: Any, count: int) -> None:
    assert len(found("E05", serving("ndt", "ndt/ndt7", "wss:///ndt/v7/download", **data))) == count


def test_what_is_checked_is_known() -> None:
    assert set(locate.SERVICES) >= locate.CHECKED
    assert all(ports.port_of(url) for urls in locate.SERVICES.values() for url in urls)


# E06


@pytest.mark.parametrize(
    ("kind", "selector", "count"),
    [
        ("physical", {}, 0),
        ("physical", {"mlab/ndt-version": "production"}, 0),
        ("physical", {"mlab/ndt-version": "canary"}, 1),
        ("physical", {"mlab/donated": "false", "mlab/managed": "machine"}, 0),
        ("physical", {"mlab/donated": "no", "mlab/managed": "switch"}, 2),
        ("physical", {"mlab/run": "ndt"}, 1),
        ("virtual", {"mlab/run": "ndt-autojoin"}, 0),
        ("virtual", {"mlab/run": "ndt-auto"}, 1),
        ("virtual", {"mlab/donated": "false"}, 1),
        ("physical", {"mlab/site": "lga05", "mlab/metro": "chs", "mlab/project": "mlab-oti"}, 0),
        ("physical", {"mlab/site": "lga06"}, 1),
        ("physical", {"mlab/metro": "jfk"}, 1),
        ("physical", {"mlab/project": "mlab-elsewhere"}, 1),
        ("physical", {"mlab/machine": "mlab4"}, 0),
        ("physical", {"mlab/machine": "mlab5"}, 1),
    ],
)
def test_placements_select_by_labels_that_nodes_have(kind: str, selector: Mapping[str, str], count: int) -> None:
    placed = [{"name": "demo", "type": kind, "hostNetwork": True, "selector": selector}]
    assert len(found("E06", with_data(placements=placed))) == count


def test_no_site_is_called_unknown_while_one_cannot_be_read() -> None:
    placed = [{"name": "demo", "type": "physical", "selector": {"mlab/site": "lga06"}}]
    subject = fleet(experiments=with_data(placements=placed))
    assert problems("E06", subject, Absent({"sites": frozenset({"lga06"})})) == []


@pytest.mark.parametrize("kind", ["physical", "virtual"])
def test_the_nodes_of_the_local_platform_have_labels_of_the_table(kind: str) -> None:
    machine = {"type": kind, "hostname": "mlab1-lga05.x", "project": "mlab-oti"}
    entry = {"Machine": "mlab1", "Site": "lga05", "Metro": "lga"}
    site = {"switch": {}, "annotations": {"donated": True}}
    given = {**machine_nodes.labels(machine, entry, site)}
    for name in machine_nodes.NODE_SELECTOR:
        del given[name]
    table = node_labels.LABELS[kind]
    assert given.keys() <= table.keys(), json.dumps(given)
    assert all(not table[label] or value in table[label] for label, value in given.items())
