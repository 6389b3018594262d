"""Targets chosen and named as the public platform's tool does, and the templates that it fills in."""

from __future__ import annotations

from typing import Any

import pytest

from reconcilers.fleet import bracket_templates, inventory_sites, kernel, target_files, targets
from reconcilers.fleet.inventory_sites import Version
from reconcilers.fleet.targets import Selection
from tests import fleet_values as values

DOMAIN = "measurement-lab.org"
OTI = f"mlab-oti.{DOMAIN}"


def chosen(shape: targets.Shape, template: str = "{{hostname}}:9090", version: Version = "v2", **more: Any) -> Any:
    sites = inventory_sites.sites(values.fleet(), DOMAIN, version)
    return targets.records(sites, Selection(shape, (template,), **more))


def test_an_experiment_has_a_record_with_its_dotted_name_and_its_undecorated_machine() -> None:
    [record] = chosen("experiments", labels={"service": "x"}, select="ndt.iupui-mlab2-lga05", decoration="v6")
    assert record == {
        "labels": {
            "experiment": "ndt.iupui",
            "ipv6": "present",
            "machine": f"mlab2-lga05.{OTI}",
            "service": "x",
        },
        "targets": [f"ndt-iupui-mlab2v6-lga05.{OTI}:9090"],
    }


@pytest.mark.parametrize("decoration", ["", "v4", "v6", "d"])
def test_a_decoration_stands_behind_the_machines_name(decoration: Any) -> None:
    [machine] = chosen("machines", select="mlab3-lga05", decoration=decoration)
    assert machine["targets"] == [f"mlab3{decoration}-lga05.{OTI}:9090"]
    [experiment] = chosen("experiments", select="^wehe-mlab3-lga05", decoration=decoration)
    assert experiment["targets"] == [f"wehe-mlab3{decoration}-lga05.{OTI}:9090"]


def test_without_ipv6_the_label_says_so_and_the_record_may_be_left_out() -> None:
    found = chosen("machines", select="del02", decoration="v6")
    assert {record["labels"]["ipv6"] for record in found} == {"missing"} and len(found) == 4
    assert chosen("machines", select="del02", decoration="v6", only_with_ipv6=True) == []
    assert chosen("experiments", select="del02", only_with_ipv6=True) == []


def test_a_project_has_its_own_machines_only() -> None:
    machines = {record["labels"]["machine"] for record in chosen("machines", project="mlab-staging")}
    assert machines == {f"mlab4-{site}.mlab-staging.{DOMAIN}" for site in ("lga05", "del02", "trn02")}
    assert chosen("experiments", project="mlab-nowhere") == []


def test_physical_leaves_the_cloud_out() -> None:
    everything, physical = chosen("machines"), chosen("machines", physical=True)
    assert {record["labels"]["machine"].split(".")[0] for record in everything if record not in physical} == {
        "mlab1-chs0t",
        "mlab2-chs0t",
    }


def test_several_templates_make_several_targets_of_one_record() -> None:
    wanted = Selection("machines", ("{{hostname}}:80", "https://{{hostname}}/{{path}}"), select="mlab1-nuq08")
    [record] = targets.records(inventory_sites.sites(values.fleet(), DOMAIN), wanted)
    assert record["targets"] == [f"mlab1-nuq08.{OTI}:80", f"https://mlab1-nuq08.{OTI}/{{{{path}}}}"]


def test_a_site_without_a_switch_has_no_switch_target() -> None:
    switches = chosen("sites", "s1-{{sitename}}.x", physical=True)
    assert "nuq08" not in {record["labels"]["site"] for record in switches}
    assert switches[0] == {"labels": {"site": "del02"}, "targets": ["s1-del02.x"]}
    every = chosen("sites", "{{sitename}}")
    assert {"nuq08", "chs0t"} <= {record["labels"]["site"] for record in every}


@pytest.mark.parametrize(
    ("version", "select", "flat", "target"),
    [
        ("v1", r"ndt\.iupui\.mlab1\.lga05", False, f"ndt.iupui.mlab1v4.lga05.{DOMAIN}"),
        ("v1", r"ndt\.iupui\.mlab1\.lga05", True, f"ndt-iupui-mlab1v4-lga05.{DOMAIN}"),
        ("v1", r"^wehe\.mlab1\.lga05", True, f"wehe-mlab1v4-lga05.{DOMAIN}"),
        ("v2", "ndt-iupui-mlab1-lga05", True, f"ndt-iupui-mlab1v4-lga05.{OTI}"),
        ("v2", "^wehe-mlab1-lga05", True, f"wehe-mlab1v4-lga05.{OTI}"),
    ],
)
def test_a_flat_name_is_one_label_before_the_domain(version: Version, select: str, flat: bool, target: str) -> None:
    [record] = chosen("experiments", "{{hostname}}", version, select=select, flat=flat, decoration="v4")
    assert record["targets"] == [target]


def test_the_published_target_files_keep_the_originals_form() -> None:
    """Also where our own Prometheus gets a corrected one: names without a record, one service for both kinds of ssh."""
    files = target_files.contents(values.fleet(), "mlab-oti", DOMAIN)
    assert len(files) == 17
    ipv6 = files["blackbox-targets-ipv6/ndt7_ipv6.json"]
    assert {record["labels"]["ipv6"] for record in ipv6} == {"present", "missing"}
    assert files["blackbox-targets-ipv6/ssh_ipv6.json"][0]["labels"]["service"] == "ssh"
    assert len(files["script-targets/ndt5_client.json"]) == len(files["script-targets/wehe_client.json"])
    # What it searches for, neubot.mlab, is also found in neubot-mlab1-…; at a /28 the twelfth line is cut off.
    of = {
        (r["labels"]["machine"].split(".")[0], r["labels"]["experiment"]) for r in files["blackbox-targets/neubot.json"]
    }
    assert {("mlab1-lga05", "neubot"), ("mlab1-lga05", "neubot.mlab"), ("mlab1-nuq08", "neubot")} <= of
    assert ("mlab1-nuq08", "neubot.mlab") not in of


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{var1}} is a {{var2}}", "Spot is a Dog"),
        ("var1}} is a {{var2", "var1}} is a {{var2"),
        ("$var1 == {{var1}} ${var2}", "$var1 == Spot ${var2}"),
        ("{{unknown}} {{var1}} {{ var1 }} {{1}}", "{{unknown}} Spot {{ var1 }} {{1}}"),
        ("{{{{var1}}", "{{var1}}"),
        ("{{{var1}}}", "{Spot}"),
        ("", ""),
    ],
)
def test_templates_know_double_braces_and_nothing_else(template: str, text: str) -> None:
    assert bracket_templates.fill(template, {"var1": "Spot", "var2": "Dog"}) == text


def node(name: str) -> Any:
    nodes = [n for site in inventory_sites.sites(values.fleet(), DOMAIN) for n in site["nodes"]]
    return next(n for n in nodes if n["hostname"].startswith(f"{name}."))


def test_a_command_line_has_the_mask_and_prefix_length_of_the_site() -> None:
    assert kernel.command_line(node("mlab1-nuq08"), "services.test") == (
        "net.ifnames=0 epoxy.project=mlab-oti "
        f"epoxy.ip=192.158.252.179::192.158.252.177:255.255.255.240:mlab1-nuq08.{OTI}:eth0:false:8.8.8.8:8.8.4.4 "
        f"epoxy.hostname=mlab1-nuq08.{OTI} epoxy.interface=eth0 "
        "epoxy.ipv4=192.158.252.179/28,192.158.252.177,8.8.8.8,8.8.4.4 "
        "epoxy.ipv6=2001:4f8:ffff:3::179/64,2001:4f8:ffff:3::1,2001:4860:4860::8888,2001:4860:4860::8844 "
        f"epoxy.stage1=https://epoxy-boot-api.mlab-oti.services.test/v1/boot/mlab1-nuq08.{OTI}/stage1.json "
        "drac.ipv4=192.158.252.178"
    )
    assert "epoxy.ipv6=2a07:1ec0:775::240/48," in kernel.command_line(node("mlab4-trn02"), "x.test")
    assert " epoxy.ipv6= " in kernel.command_line(node("mlab1-del02"), "x.test")


def test_templates_of_network_configuration_have_their_variables() -> None:
    made = kernel.variables(node("mlab2-lga05"), "x.test", {"project": "mine", "extra": "1"})
    assert made.pop("kernel_command_line").startswith("net.ifnames=0 ")
    families = {
        "ipv4": "ip=4.35.94.22 address=4.35.94.22 subnet=26 network=4.35.94.0/26 netmask=255.255.255.192 "
        "gateway=4.35.94.1 broadcast=4.35.94.63 dns1=8.8.8.8 dns2=8.8.4.4 enabled=true",
        "ipv6": "ip=2001:1900:2100:14::22 address=2001:1900:2100:14::22 subnet=64 network=2001:1900:2100:14::/64 "
        "gateway=2001:1900:2100:14::1 dns1=2001:4860:4860::8888 dns2=2001:4860:4860::8844 enabled=true",
    }
    wanted = {
        f"{family}_{pair.partition('=')[0]}": pair.partition("=")[2]
        for family, text in families.items()
        for pair in text.split()
    }
    others = {"hostname": f"mlab2-lga05.{OTI}", "project": "mine", "extra": "1", "drac_ipv4_address": "4.35.94.5"}
    assert made == {**wanted, **others}
    without = kernel.variables(node("mlab1-del02"), None, {})
    assert {key: value for key, value in without.items() if key.startswith("ipv6")} == {
        "ipv6_enabled": "false",
        "ipv6_ip": "",
        "ipv6_address": "",
    }
    assert "kernel_command_line" not in without
    virtual = kernel.variables(node("mlab1-chs0t"), "x.test", {})
    assert (virtual["drac_ipv4_address"], virtual["ipv4_ip"]) == ("", "34.148.229.79")
    assert "kernel_command_line" not in virtual and "ipv4_gateway" not in virtual
