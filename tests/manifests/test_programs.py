"""The manifests that git renders start these programs with flags and variables that they understand."""

from __future__ import annotations

import json
from pathlib import Path

from node.images import programs
from node.pusher import jostler, options, schema
from node.tcpinfo import __main__ as tcpinfo
from node.uuid import __main__ as uuid
from tests.index2ip import plugin
from tests.manifests.pods import CHECKOUT, containers, fleet, rendered, started

NODE = "mlab1-lga1t.mlab-sandbox.measurement-lab.test"


def test_every_tcp_info_gets_what_it_needs() -> None:
    found = [started(container, tcpinfo.FLAGS) for container in containers("containers", "tcp-info")]
    assert len(found) > 5
    for given in found:
        assert given["output"].endswith("/tcpinfo")
        assert given["uuid_prefix_file"] and given["tcpinfo_eventsocket"]
        assert given["anonymize_ip"] in ("none", "netblock")
        assert all(port.isdecimal() for port in given["exclude_srcport"])
    assert {given["anonymize_ip"] for given in found} == {"none", "netblock"}


def test_every_pod_s_prefix_is_written_where_tcp_info_reads_it() -> None:
    found = {started(c, uuid.FLAGS)["filename"] for c in containers("initContainers", "set-up-uuid-prefix-file")}
    assert found == {started(c, tcpinfo.FLAGS)["uuid_prefix_file"] for c in containers("containers", "tcp-info")}


def test_the_image_of_our_programs_is_the_one_that_is_built_and_has_each_of_them() -> None:
    pinned = fleet().images["sidecars"].data["images"]
    ours = {name: image for name, image in pinned.items() if "command" in image}
    assert ours.keys() == {"tcp-info", "uuid", "pusher", "jostler"}
    assert {f"{image['name']}:{image['version']}" for image in ours.values()} == {programs.NODE}
    assert {tuple(image["command"]) for image in ours.values()} <= {(name,) for name in programs.installed(CHECKOUT)}


def test_every_pusher_understands_its_command_line_the_switches_too() -> None:
    found = [started(container, options.FLAGS) for container in containers("containers", "pusher")]
    assert len(found) > 5
    for given in found:
        made = options.settings({**given, "mlab_node_name": NODE})
        assert made.datatypes and made.bucket == "pusher-mlab-sandbox" and not made.tables
    assert {given["experiment"] for given in found} > {"ndt", "host", "utilization"}


def test_every_jostler_understands_its_command_line() -> None:
    found = list(containers("containers", "jostler"))
    assert len(found) > 3
    for container in found:
        assert jostler.meant(container["args"], {})
        given = started(container, jostler.FLAGS)
        assert given["gcs_bucket"] == "pusher-mlab-sandbox" and given["mlab_node_name"]
        named = dict(entry.split(":", 1) for entry in given["datatype_schema_file"])
        assert named == {name: f"/etc/datatypes/{name}.json" for name in given["datatype"]}


def test_columns_in_git_make_tables(tmp_path: Path) -> None:
    autoloaded = {name for e in fleet().experiments.values() for name in e.data["datatypes"]["autoloaded"]}
    assert len(autoloaded) > 5
    for name in sorted(autoloaded):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(fleet().datatypes[name].data["schema"]))
        assert [field["name"] for field in schema.table(path)] == ["date", "archiver", "raw"]


def test_every_network_with_an_index_gets_its_addresses() -> None:
    answer = plugin.module().answer
    indexes = set()
    for resource in rendered():
        if not resource.id.kind.startswith("NetworkAttachmentDefinition") or "index2ip" not in resource.id.name:
            continue
        network = json.loads(resource.spec["spec"]["config"])
        (asking,) = (p for p in network["plugins"] if p.get("ipam", {}).get("type") == "index2ip")
        index = asking["ipam"]["index"]
        stdin = json.dumps({**asking, "cniVersion": network["cniVersion"], "name": network["name"]}).encode()
        made = answer("ADD", stdin, plugin.command_line())
        assert made["cniVersion"] == network["cniVersion"]
        assert made["ips"][0]["address"] == f"192.0.2.{73 + index}/26"
        indexes.add(index)
    # Those that have no pod on a machine need no network.
    annotated = {
        network["name"]
        for resource in rendered()
        if resource.id.kind == "DaemonSet.apps"
        for network in json.loads(
            resource.spec["spec"]["template"]["metadata"]
            .get("annotations", {})
            .get("k8s.v1.cni.cncf.io/networks", "[]")
        )
    }
    assert {f"index2ip-index-{index}-conf" for index in indexes} == annotated
    assert len(indexes) > 4
