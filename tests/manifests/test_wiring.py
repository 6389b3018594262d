"""Every line of how the public platform wires the programs of a node, for every pod of every environment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from node.pusher import options
from tests.manifests.pods import ENVIRONMENTS, Pod, fleet, measuring, pods, rendered, started

MEASURING = measuring()
IN_NETWORK = [pod for environment in ENVIRONMENTS for pod in pods(environment) if not pod.on_host]
ALWAYS = ["tcpinfo", "pcap", "scamper1", "hopannotation2"]
PORTS = {
    "access": 9989,
    "tcp-info": 9991,
    "traceroute-caller": 9992,
    "packet-headers": 9993,
    "uuid-annotator": 9994,
    "pusher": 9995,
    "heartbeat": 9996,
    "jostler": 9997,
    "revtr-sidecar": 9998,
}
INITS = ["set-up-uuid-prefix-file", "uuid-annotator-schema", "set-data-dir-perms", "set-datatypes-dir-perms"]
NOBODY = 65534
EMPTY: Mapping[str, Any] = {"emptyDir": {}}


def identity(pod: Pod) -> str:
    return f"{pod.environment}-{pod.placement}"


each = pytest.mark.parametrize("pod", MEASURING, ids=identity)
each_in_network = pytest.mark.parametrize("pod", IN_NETWORK, ids=identity)


def directory(path: str) -> Mapping[str, Any]:
    return {"hostPath": {"path": path, "type": "DirectoryOrCreate"}}


def archived(pod: Pod) -> list[str]:
    """What the pusher carries away as archives."""
    own = pod.experiment.data["datatypes"]
    return [*own["archived"], *ALWAYS, *([] if "annotation2" in own["autoloaded"] else ["annotation2"])]


def autoloaded(pod: Pod) -> list[str]:
    return list(pod.experiment.data["datatypes"]["autoloaded"])


def variables(container: Mapping[str, Any]) -> dict[str, str]:
    """Values of variables, or the field of the pod that they come from."""
    return {
        entry["name"]: entry.get("value") or entry["valueFrom"].get("fieldRef", {}).get("fieldPath", "a secret")
        for entry in container["env"]
    }


def limited(container: Mapping[str, Any]) -> bool:
    resources = container["resources"]
    return "memory" in resources["requests"] and "memory" in resources["limits"]


@each_in_network
def test_the_public_address_is_that_of_the_index_and_the_default_network_has_no_gateway(pod: Pod) -> None:
    (attached,) = json.loads(pod.annotations["k8s.v1.cni.cncf.io/networks"])
    default = pod.annotations["v1.multus-cni.io/default-network"].removeprefix("default/")
    networks = {
        r.spec["metadata"]["name"]: json.loads(r.spec["spec"]["config"])
        for r in rendered(pod.environment)
        if r.id.kind.startswith("NetworkAttachmentDefinition")
    }
    assert attached["name"] == f"index2ip-index-{pod.experiment.index}-conf"
    assert networks[attached["name"]] == {
        "cniVersion": "0.3.1",
        "name": f"ipvlan-index-{pod.experiment.index}",
        "plugins": [
            {
                "type": "netctl",
                "ipam": {"type": "index2ip", "index": pod.experiment.index},
                "sysctl": {"net.ipv6.conf.default.accept_ra": "0", "net.ipv6.conf.default.autoconf": "0"},
            },
            {"type": "ipvlan", "master": "eth0"},
        ],
    }
    assert default == "flannel-experiment-conf"
    assert networks[default]["plugins"][0]["delegate"]["isDefaultGateway"] is False
    assert networks["flannel-conf"]["plugins"][0]["delegate"]["isDefaultGateway"] is True


@each_in_network
def test_names_are_resolved_by_public_servers_and_low_ports_need_no_right(pod: Pod) -> None:
    assert pod.spec["dnsPolicy"] == "None"
    assert pod.spec["dnsConfig"] == {"nameservers": ["8.8.8.8", "8.8.4.4"]}
    assert pod.spec["securityContext"]["sysctls"] == [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "80"}]


@each_in_network
def test_a_pod_with_public_addresses_filters_before_it_starts(pod: Pod) -> None:
    firewall = pod.container("set-nftables-rules", "initContainers")
    assert firewall["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN"]}
    (rules,) = (
        r.spec["data"]["rules.nft"]
        for r in rendered(pod.environment)
        if r.id.kind == "ConfigMap" and r.spec["metadata"]["name"] == f"{pod.experiment.name}-nftables"
    )
    assert "policy drop;" in rules and "9990-9999" in rules


@each
def test_init_containers_come_in_order(pod: Pod) -> None:
    assert pod.names("initContainers")[: len(INITS)] == INITS
    assert pod.on_host or pod.names("initContainers")[len(INITS)] == "set-nftables-rules"


@each
def test_the_prefix_is_written_once_by_root_for_all_of_the_pod(pod: Pod) -> None:
    made = pod.container("set-up-uuid-prefix-file", "initContainers")
    assert made["args"] == ["-filename=/var/local/uuid/prefix"]
    assert variables(made) == {"POD_NAME": "metadata.name"}
    assert pod.mounts(made) == {"/var/local/uuid": (EMPTY, True)}
    assert made["securityContext"]["runAsUser"] == 0 and "add" not in made["securityContext"]["capabilities"]
    readers = [c for c in pod.spec["containers"] if "-uuid-prefix-file=/var/local/uuid/prefix" in c.get("args", ())]
    assert "tcp-info" in [c["name"] for c in readers]
    for reader in readers:
        assert pod.mounts(reader)["/var/local/uuid"] == (EMPTY, False), reader["name"]


@each
def test_directories_of_all_datatypes_are_there_and_belong_to_nobody_before_anything_writes(pod: Pod) -> None:
    made = pod.container("set-data-dir-perms", "initContainers")
    assert pod.mounts(made) == {pod.spool: (directory(f"/cache/data/{pod.experiment.name}"), True)}
    (shell, option, script) = made["command"]
    assert (shell, option) == ("/bin/sh", "-c")
    folders, owner, modes = script.split(" && ")
    wanted = {*archived(pod), *autoloaded(pod), "annotation2"}
    assert set(folders.split()[2:]) == {pod.spool, *(f"{pod.spool}/{datatype}" for datatype in wanted)}
    assert owner == f"chown -R {NOBODY}:{NOBODY} {pod.spool}"
    assert modes == f"find {pod.spool} -type d -exec chmod 2775 {{}} +"
    schemas = pod.container("set-datatypes-dir-perms", "initContainers")
    assert pod.mounts(schemas) == {"/var/spool/datatypes": (directory(f"/cache/datatypes/{pod.experiment.name}"), True)}
    assert f"chown -R {NOBODY}:{NOBODY} /var/spool/datatypes" in schemas["command"][2]


@each
def test_a_measurement_mounts_its_own_datatypes_alone_and_sidecars_their_parent(pod: Pod) -> None:
    data = directory(f"/cache/data/{pod.experiment.name}")
    own = {path: m for path, m in pod.mounts(pod.container(pod.experiment.name)).items() if path.startswith(pod.spool)}
    assert own == {
        f"{pod.spool}/{datatype}": (directory(f"/cache/data/{pod.experiment.name}/{datatype}"), True)
        for datatype in [*pod.experiment.data["datatypes"]["archived"], *autoloaded(pod)]
    }
    for name in ("tcp-info", "traceroute-caller", "packet-headers", "uuid-annotator", "pusher"):
        assert pod.mounts(pod.container(name))[pod.spool] == (data, True), name


@each
def test_events_pass_through_a_volume_that_tcp_info_alone_writes(pod: Pod) -> None:
    path = "/var/local/tcpinfoeventsocket"
    for name in pod.names():
        mounts = pod.mounts(pod.container(name))
        if path in mounts:
            assert mounts[path] == (EMPTY, name == "tcp-info"), name
            assert f"-tcpinfo.eventsocket={path}/tcpevents.sock" in pod.container(name)["args"]
    assert path in pod.mounts(pod.container("tcp-info")) and path in pod.mounts(pod.container("packet-headers"))


@each
def test_metrics_are_on_the_ports_that_the_fleet_knows(pod: Pod) -> None:
    address = "127.0.0.1" if pod.on_host else "$(PRIVATE_IP)"
    for name in PORTS.keys() & set(pod.names()):
        container = pod.container(name)
        assert container["args"][0] == f"-prometheusx.listen-address={address}:{PORTS[name]}"
        assert pod.on_host or variables(container)["PRIVATE_IP"] == "status.podIP"
        if pod.on_host:
            proxy = pod.container(f"kube-rbac-proxy-{name}")
            assert proxy["args"] == [
                f"--secure-listen-address=$(NODE_IP):{PORTS[name]}",
                f"--upstream=http://127.0.0.1:{PORTS[name]}/",
            ]
        else:
            assert [port["containerPort"] for port in container["ports"]] == [PORTS[name]]


@each
def test_a_pod_is_nobody_without_rights_and_the_pusher_alone_reads_and_deletes_what_others_wrote(pod: Pod) -> None:
    context = pod.spec["securityContext"]
    assert (context["runAsUser"], context["runAsGroup"], context["fsGroup"]) == (NOBODY, NOBODY, NOBODY)
    for container in [*pod.spec["initContainers"], *pod.spec["containers"]]:
        assert container["securityContext"]["capabilities"]["drop"] == ["ALL"], container["name"]
    assert "runAsUser" not in pod.container("tcp-info")["securityContext"]
    assert "add" not in pod.container("tcp-info")["securityContext"]["capabilities"]
    for name in {"pusher", "jostler"} & set(pod.names()):
        given = pod.container(name)["securityContext"]
        assert (given["runAsUser"], given["capabilities"]["add"]) == (0, ["DAC_OVERRIDE", "LEASE"]), name


@each
def test_our_own_programs_write_to_their_volumes_alone_and_have_bounds(pod: Pod) -> None:
    ours = {name for name, image in fleet().images["sidecars"].data["images"].items() if "command" in image}
    found = [
        c
        for c in [*pod.spec["initContainers"], *pod.spec["containers"]]
        if c["image"].startswith("measurementlab/node:")
    ]
    assert {c["command"][0] for c in found} >= {"tcp-info", "create-uuid-prefix-file"}
    for container in found:
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        if container["name"] in ours:
            assert limited(container), container["name"]


@each
def test_tcp_info_records_what_is_a_measurement(pod: Pod) -> None:
    environment = fleet().environments[pod.environment]
    assert pod.container("tcp-info")["args"][1:] == [
        f"-output={pod.spool}/tcpinfo",
        "-uuid-prefix-file=/var/local/uuid/prefix",
        "-tcpinfo.eventsocket=/var/local/tcpinfoeventsocket/tcpevents.sock",
        "-exclude-srcport=9100,9090,9091,9989,9990,9991,9992,9993,9994,9995,9996,9997,9998",
        f"-exclude-dstip={','.join(environment.data['control_plane'])}",
        f"-anonymize.ip={'netblock' if pod.experiment.name == 'wehe' else 'none'}",
    ]


@each
def test_the_pusher_carries_every_archived_datatype_to_the_project_s_bucket(pod: Pod) -> None:
    container = pod.container("pusher")
    name = pod.experiment.name
    project = fleet().environments[pod.environment].project
    given = container["args"][1:]
    for word in (
        f"-bucket=pusher-{project}",
        f"-experiment={name}",
        "-archive_size_threshold=50MB",
        "-sigterm_wait_time=40s",
        f"-directory={pod.spool}",
        "-metadata=MLAB.server.name=$(MLAB_NODE_NAME)",
        f"-metadata=MLAB.experiment.name={name}",
        f"-metadata=MLAB.pusher.image={container['image']}",
    ):
        assert given.count(word) == 1, word
    assert [word for word in given if word.startswith("-metadata=MLAB.pusher.src.url=https://")]
    assert [word for word in given if word.startswith("-datatype=")] == [f"-datatype={d}" for d in archived(pod)]
    assert variables(container)["MLAB_NODE_NAME"] == "spec.nodeName"
    assert variables(container)["GOOGLE_APPLICATION_CREDENTIALS"] == "/etc/credentials/pusher.json"
    secret = {"secret": {"secretName": "pusher-credentials", "defaultMode": 420}}
    assert pod.mounts(container)["/etc/credentials"] == (secret, False)


@each
def test_the_pusher_ends_within_the_time_that_the_pod_has(pod: Pod) -> None:
    """10 s of lame duck and 30 s for running tests are waited for; then comes the last upload."""
    given = started(pod.container("pusher"), options.FLAGS)
    grace_s = pod.spec["terminationGracePeriodSeconds"]
    assert grace_s == (180 if pod.experiment.name == "host" else 100)
    assert given["sigterm_wait_time"] == 40
    assert 50 <= given["drain_time"] < grace_s - given["sigterm_wait_time"]


@each
def test_autoloaded_datatypes_have_a_jostler_with_a_schema_each(pod: Pod) -> None:
    datatypes = autoloaded(pod)
    if not datatypes:
        assert "jostler" not in pod.names()
        return
    container = pod.container("jostler")
    given = container["args"][1:]
    project = fleet().environments[pod.environment].project
    for word in (
        f"-gcs-bucket=pusher-{project}",
        "-gcs-data-dir=autoload/v1",
        f"-experiment={pod.experiment.name}",
        "-bundle-size-max=52428800",
        "-bundle-age-max=1h",
        "-local-data-dir=/var/spool",
        "-extensions=.json",
        "-missed-age=2h",
        "-missed-interval=5m",
        *(f"-datatype={datatype}" for datatype in datatypes),
        *(f"-datatype-schema-file={d}:/etc/datatypes/{d}.json" for d in datatypes),
    ):
        assert given.count(word) == 1, word
    assert variables(container)["MLAB_NODE_NAME"] == "spec.nodeName"
    name = f"{pod.experiment.name}-schemas"
    assert pod.mounts(container)["/etc/datatypes"] == ({"configMap": {"name": name, "defaultMode": 420}}, False)
    (files,) = (
        r.spec["data"]
        for r in rendered(pod.environment)
        if r.id.kind == "ConfigMap" and r.spec["metadata"]["name"] == name
    )
    written = {d: json.loads(files[f"{d}.json"]) for d in datatypes}
    assert written == {d: fleet().datatypes[d].data["schema"] for d in datatypes}
    assert all(column["name"] and column["type"] for columns in written.values() for column in columns)


def test_all_that_measures_is_looked_at() -> None:
    assert {pod.experiment.name for pod in MEASURING} == {"ndt", "msak", "revtr", "wehe", "pt", "neubot", "host"}
    assert len(MEASURING) == 3 * 9 + 1 and len(IN_NETWORK) > 18
    assert {datatype for pod in MEASURING for datatype in autoloaded(pod)} > {"ndt7", "throughput1", "nodeinfo1"}
