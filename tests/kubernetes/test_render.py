"""From the configuration to manifests: what runs where, and what is refused with its name."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from reconcilers.core import canonical, order
from reconcilers.core.errors import ConfigError
from reconcilers.core.model import Id, Resource
from reconcilers.fleet.model import Environment, Experiment, Fleet
from reconcilers.load import fleet as loading
from reconcilers.load.jsonnet import Engine
from reconcilers.render import kubernetes
from tests import golden

CHECKOUT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
ENVIRONMENTS = ("production", "sandbox", "staging")


@cache
def committed() -> Fleet:
    return loading.load(CHECKOUT).require()


@cache
def rendered(environment: str) -> Mapping[Id, Resource]:
    fleet = committed()
    made = kubernetes.resources(fleet, fleet.environments[environment], Engine(CHECKOUT / "jsonnet", None))
    return {resource.id: resource for resource in made}


def daemon_sets(environment: str) -> dict[str, Mapping[str, Any]]:
    made = rendered(environment)
    return {key.name.partition("/")[2]: r.spec for key, r in made.items() if key.kind == "DaemonSet.apps"}


def pod(name: str, environment: str = "sandbox") -> Mapping[str, Any]:
    found: Mapping[str, Any] = daemon_sets(environment)[name]["spec"]["template"]["spec"]
    return found


def container(name: str, of: str, environment: str = "sandbox") -> Mapping[str, Any]:
    return next(c for c in pod(of, environment)["containers"] if c["name"] == name)


def changed(experiment: str, environment: str = "sandbox", **data: Any) -> list[Resource]:
    """What is rendered of one experiment with other data, and of nothing else."""
    fleet = committed()
    before = fleet.experiments[experiment]
    after: Experiment = replace(before, data={**before.data, **data})
    only = replace(fleet, experiments={experiment: after})
    made = kubernetes.resources(only, fleet.environments[environment], Engine(CHECKOUT / "jsonnet", None))
    return [resource for resource in made if resource.span.file == f"config/experiments/{experiment}.yaml"]


def problem(experiment: str, environment: str = "sandbox", **data: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        changed(experiment, environment, **data)
    return str(caught.value)


def test_the_objects_of_ndt_are_as_reviewed() -> None:
    mine = [r for r in rendered("sandbox").values() if r.span.file == "config/experiments/ndt.yaml"]
    shown = [{"id": str(r.id), "from": str(r.span), "after": sorted(map(str, r.deps)), "spec": r.spec} for r in mine]
    golden.check(HERE / "golden" / "ndt.json", json.dumps(shown, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_rendering_twice_gives_the_same_bytes(environment: str) -> None:
    fleet = committed()
    again = kubernetes.resources(fleet, fleet.environments[environment], Engine(CHECKOUT / "jsonnet", None))
    first = list(rendered(environment).values())
    assert list(again) == first == sorted(first, key=lambda r: r.id)
    assert canonical.sha256([dict(r.spec) for r in again]) == canonical.sha256([dict(r.spec) for r in first])


def test_each_project_runs_its_own_workloads() -> None:
    system = {"cadvisor", "disco", "flannel", "node-exporter"}
    everywhere = {"ndt", "ndt-virtual", "ndt-canary", "msak", "revtr", "wehe", "pt", "neubot", "host"} | system
    assert set(daemon_sets("production")) == everywhere
    assert set(daemon_sets("staging")) == everywhere | {"flooefi"}
    assert set(daemon_sets("sandbox")) == everywhere | {"flooefi", "ark", "ndt-virtual-autojoin"}


def test_an_experiment_stays_away_from_sites_that_have_no_address_for_it() -> None:
    fleet = committed()
    nuq08 = fleet.sites["nuq08"]
    assert nuq08.network
    small = replace(nuq08, network=replace(nuq08.network, ipv4=IPv4Network("198.18.192.176/29")))
    made = kubernetes.resources(
        replace(fleet, sites={**fleet.sites, "nuq08": small}),
        fleet.environments["production"],
        Engine(CHECKOUT / "jsonnet", None),
    )
    avoided = {}
    for resource in made:
        if resource.id.kind == "DaemonSet.apps":
            affinity = resource.spec["spec"]["template"]["spec"].get("affinity")
            avoided[resource.id.name.partition("/")[2]] = affinity and affinity["nodeAffinity"]
    beyond = {name for name, terms in avoided.items() if terms}
    assert beyond == {"wehe", "pt", "neubot"}
    (term,) = avoided["wehe"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert term == {"matchExpressions": [{"key": "mlab/site", "operator": "NotIn", "values": ["nuq08"]}]}


def test_reserved_experiments_have_no_objects() -> None:
    assert not [r for r in rendered("sandbox").values() if "demo" in r.span.file]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_dependencies_are_wanted_too_and_form_levels(environment: str) -> None:
    made = rendered(environment)
    assert all(dep in made for resource in made.values() for dep in resource.deps)
    ranks = order.ranks(made.values())
    assert ranks[kubernetes.NETWORKS] == 0
    assert max(ranks.values()) <= 3
    ndt = made[Id("DaemonSet.apps", "default/ndt")]
    assert {dep.kind.partition(".")[0] for dep in ndt.deps} == {
        "ConfigMap",
        "NetworkAttachmentDefinition",
        "PriorityClass",
        "ServiceAccount",
    }


def test_everything_of_another_namespace_waits_for_it() -> None:
    inside = [r for r in rendered("sandbox").values() if r.spec["metadata"].get("namespace") == "flooefi"]
    assert {r.spec["kind"] for r in inside} == {"ServiceAccount", "ConfigMap", "DaemonSet"}
    assert all(Id("Namespace", "flooefi") in r.deps for r in inside)
    notes = daemon_sets("sandbox")["flooefi"]["spec"]["template"]["metadata"]["annotations"]
    assert json.loads(notes["k8s.v1.cni.cncf.io/networks"]) == [
        {"name": "index2ip-index-7-conf", "namespace": "default"}
    ]
    assert notes["v1.multus-cni.io/default-network"] == "default/flannel-experiment-conf"


def test_a_pod_in_the_pod_network_gets_the_addresses_of_its_index() -> None:
    template = daemon_sets("sandbox")["wehe"]["spec"]["template"]
    notes = template["metadata"]["annotations"]
    assert json.loads(notes["k8s.v1.cni.cncf.io/networks"]) == [{"name": "index2ip-index-5-conf"}]
    assert notes["v1.multus-cni.io/default-network"] == "flannel-experiment-conf"
    assert template["spec"]["dnsPolicy"] == "None"
    network = rendered("sandbox")[Id(kubernetes.NETWORK, "default/index2ip-index-5-conf")]
    config = json.loads(network.spec["spec"]["config"])
    assert config["plugins"][0]["ipam"] == {"type": "index2ip", "index": 5}
    assert str(network.span) == "config/experiments/wehe.yaml:6:8"


def test_a_pod_on_the_host_network_serves_metrics_through_proxies_only() -> None:
    spec = pod("ndt-virtual")
    proxies = [c for c in spec["containers"] if c["name"].startswith("kube-rbac-proxy-")]
    others = [c for c in spec["containers"] if not c["name"].startswith("kube-rbac-proxy-")]
    assert spec["hostNetwork"] and "initContainers" in spec
    assert {c["ports"][0]["containerPort"] for c in proxies} == {9990, 9991, 9992, 9993, 9994, 9995, 9996, 9998}
    assert not [c["name"] for c in others if any(9989 <= port["containerPort"] <= 9998 for port in c.get("ports", ()))]
    assert all("-prometheusx.listen-address=127.0.0.1:" in " ".join(c.get("args", ())) for c in others)
    assert "set-nftables-rules" not in [c["name"] for c in spec["initContainers"]]


def test_containers_stand_in_the_published_order() -> None:
    assert [c["name"] for c in pod("wehe")["containers"]] == [
        "tcp-info",
        "traceroute-caller",
        "packet-headers",
        "uuid-annotator",
        "pusher",
        "jostler",
        "wehe",
        "heartbeat",
        "access",
    ]
    assert [c["name"] for c in pod("wehe")["initContainers"]] == [
        "set-up-uuid-prefix-file",
        "uuid-annotator-schema",
        "set-data-dir-perms",
        "set-datatypes-dir-perms",
        "set-nftables-rules",
        "ca-copy",
    ]


def test_metrics_ports_are_those_that_the_fleet_knows_by_heart() -> None:
    ports = {c["name"]: c["ports"][0]["containerPort"] for c in pod("wehe")["containers"]}
    assert ports == {
        "tcp-info": 9991,
        "traceroute-caller": 9992,
        "packet-headers": 9993,
        "uuid-annotator": 9994,
        "pusher": 9995,
        "jostler": 9997,
        "wehe": 9990,
        "heartbeat": 9996,
        "access": 9989,
    }


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_names_and_ports_of_a_pod_are_distinct(environment: str) -> None:
    for name, item in daemon_sets(environment).items():
        spec = item["spec"]["template"]["spec"]
        containers = [*spec.get("initContainers", ()), *spec["containers"]]
        names = Counter(c["name"] for c in containers)
        ports = Counter((p["containerPort"], p["protocol"]) for c in containers for p in c.get("ports", ()))
        mounted = {m["name"] for c in containers for m in c.get("volumeMounts", ())}
        assert max(names.values()) == 1, name
        assert not ports or max(ports.values()) == 1, (name, ports)
        assert mounted <= {volume["name"] for volume in spec.get("volumes", ())}, name


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_no_image_moves_and_no_secret_is_spelled_out(environment: str) -> None:
    for name, item in daemon_sets(environment).items():
        for c in item["spec"]["template"]["spec"]["containers"]:
            assert ":" in c["image"] and not c["image"].endswith(":latest"), name
            assert not [word for word in c.get("args", ()) if "api-key=" in word.lower()], (name, c["name"])
    assert not [key for key in rendered(environment) if key.kind == "Secret"]


def test_a_measurement_sees_its_own_datatypes_and_the_pusher_all() -> None:
    own = {m["mountPath"]: m["name"] for m in container("ndt", "ndt")["volumeMounts"]}
    assert own["/var/spool/ndt/ndt5"] == "ndt-ndt5-data"
    assert "/var/spool/ndt" not in own
    assert {"mountPath": "/var/spool/ndt", "name": "ndt-data"} in container("pusher", "ndt")["volumeMounts"]
    pushed = [word for word in container("pusher", "wehe")["args"] if word.startswith("-datatype=")]
    assert pushed == [
        f"-datatype={d}" for d in ("replay", "tcpinfo", "pcap", "scamper1", "hopannotation2", "annotation2")
    ]


@pytest.mark.parametrize(
    ("environment", "host"),
    [("sandbox", "locate.mlab-sandbox.measurement-lab.test"), ("production", "locate.measurement-lab.test")],
)
def test_heartbeats_go_to_the_locate_of_the_project(environment: str, host: str) -> None:
    words = container("heartbeat", "ndt", environment)["args"]
    assert f"-heartbeat-url=wss://{host}/v2/platform/heartbeat-jwt" in words
    assert "-services=ndt/ndt5=ws://:3001/ndt_protocol,wss://:3010/ndt_protocol" in words


def test_placeholders_are_filled_in_and_other_braces_stay() -> None:
    fleet = committed()
    before = fleet.experiments["msak"].data["container"]
    made = changed(
        "msak", container={**before, "args": ["{project} {domain} {experiment} {placement}", "{other} ${HOME}"]}
    )
    spec = next(r.spec for r in made if r.id.kind == "DaemonSet.apps")["spec"]["template"]["spec"]
    args = next(c for c in spec["containers"] if c["name"] == "msak")["args"]
    assert args == ["mlab-sandbox measurement-lab.test msak msak", "{other} ${HOME}"]


def test_a_changed_rule_restarts_the_pods_of_that_experiment() -> None:
    def digest(made: list[Resource]) -> str:
        item = next(r for r in made if r.id.kind == "DaemonSet.apps")
        return str(item.spec["spec"]["template"]["metadata"]["annotations"]["mlab.io/config-sha256"])

    assert digest(changed("msak")) == digest(changed("msak"))
    assert digest(changed("msak")) != digest(changed("msak", firewall={"tcp": [80], "udp": []}))


def test_rules_drop_what_is_not_opened() -> None:
    rules = rendered("sandbox")[Id("ConfigMap", "default/msak-nftables")].spec["data"]["rules.nft"]
    assert "policy drop;" in rules
    assert "tcp dport { 80, 443, 9990-9999 } accept" in rules
    assert "udp dport { 1053 } accept" in rules
    assert "udp" not in rendered("sandbox")[Id("ConfigMap", "default/ndt-nftables")].spec["data"]["rules.nft"]


def test_a_rollout_is_a_share_of_the_fleet() -> None:
    for item in daemon_sets("production").values():
        assert item["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"].endswith("%")


def test_system_services_stay_on_nodes_in_maintenance() -> None:
    for name in ("node-exporter", "cadvisor", "disco"):
        assert {"key": "lame-duck", "operator": "Exists", "effect": "NoSchedule"} in pod(name)["tolerations"]
    assert pod("flannel")["tolerations"] == [{"operator": "Exists", "effect": "NoSchedule"}]
    assert "tolerations" not in pod("ndt")


def test_a_system_service_without_a_pinned_image_is_not_deployed() -> None:
    fleet = committed()
    system = fleet.images["system"]
    images = {key: value for key, value in system.data["images"].items() if key != "cadvisor"}
    without = replace(fleet, images={**fleet.images, "system": replace(system, data={**system.data, "images": images})})
    made = kubernetes.resources(without, _sandbox(), Engine(CHECKOUT / "jsonnet", None))
    assert not [r for r in made if "cadvisor" in r.id.name]


def _sandbox() -> Environment:
    return committed().environments["sandbox"]


def test_a_missing_index_is_refused_with_component_and_parameter() -> None:
    fleet = committed()
    before = fleet.experiments["msak"]
    only = replace(fleet, experiments={"msak": replace(before, index=None)})
    with pytest.raises(ConfigError, match="parameter index is missing") as caught:
        kubernetes.resources(only, _sandbox(), Engine(CHECKOUT / "jsonnet", None))
    assert "component networks" in str(caught.value) and "config/experiments/msak.yaml" in str(caught.value)


def test_a_missing_firewall_is_refused_with_component_and_parameter() -> None:
    assert "component nftables: parameter firewall is missing" in problem("msak", firewall=None)


def test_a_mount_of_an_unknown_volume_is_refused_with_its_name() -> None:
    mounts = [{"volume": "nowhere", "path": "/x", "readOnly": True}]
    container = {**committed().experiments["msak"].data["container"], "mounts": mounts}
    text = problem("msak", container=container)
    assert "component pod: parameter mounts of msak: volume nowhere is not declared" in text


def test_a_volume_with_two_sources_is_refused_with_its_name() -> None:
    volumes = [*committed().experiments["msak"].data["volumes"], {"name": "both", "secret": "a", "emptyDir": True}]
    container = committed().experiments["msak"].data["container"]
    mounts = [*container["mounts"], {"volume": "both", "path": "/x", "readOnly": True}]
    text = problem("msak", volumes=volumes, container={**container, "mounts": mounts})
    assert "component volumes: volume both of msak" in text and "exactly one is needed" in text


def test_a_pod_that_would_be_killed_while_it_uploads_is_refused_outside_the_sandbox() -> None:
    rollout = {"maxUnavailable": "2%", "graceSeconds": 99}
    text = problem("msak", "staging", rollout=rollout)
    assert "component pod: parameter rollout.graceSeconds of msak is 99" in text and "100 at least" in text
    assert changed("msak", "staging", rollout={**rollout, "graceSeconds": 100})
    assert changed("msak", "sandbox", rollout={**rollout, "graceSeconds": 30})


def test_a_shell_without_a_command_is_refused_with_its_container() -> None:
    data = {key: value for key, value in committed().experiments["msak"].data["container"].items() if key != "command"}
    assert "component msak: parameter command is missing" in problem("msak", container={**data, "shell": True})


def test_columns_that_git_does_not_have_are_looked_for_where_a_container_writes_them() -> None:
    fleet = committed()
    bare = replace(fleet.datatypes["throughput1"], data={**fleet.datatypes["throughput1"].data, "schema": None})
    made = kubernetes.resources(
        replace(fleet, datatypes={**fleet.datatypes, "throughput1": bare}),
        _sandbox(),
        Engine(CHECKOUT / "jsonnet", None),
    )
    specs = {str(resource.id): resource.spec for resource in made}
    containers = specs["DaemonSet.apps/default/msak"]["spec"]["template"]["spec"]["containers"]
    args = next(c for c in containers if c["name"] == "jostler")["args"]
    assert [word for word in args if word.startswith("-datatype-schema-file=")] == [
        "-datatype-schema-file=throughput1:/var/spool/datatypes/throughput1.json",
        "-datatype-schema-file=latency1:/etc/datatypes/latency1.json",
    ]
    assert specs["ConfigMap/default/msak-schemas"]["data"].keys() == {"latency1.json"}


def test_a_missing_sidecar_image_is_refused_with_its_name() -> None:
    fleet = committed()
    sidecars = fleet.images["sidecars"]
    images = {key: value for key, value in sidecars.data["images"].items() if key != "pusher"}
    entity = replace(sidecars, data={**sidecars.data, "images": images})
    without = replace(fleet, images={"sidecars": entity})
    with pytest.raises(ConfigError, match="component sidecars: parameter pusher is missing"):
        kubernetes.resources(without, _sandbox(), Engine(CHECKOUT / "jsonnet", None))
