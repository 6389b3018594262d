"""What the published files say of sites, machines and experiments: known values, field by field."""

from __future__ import annotations

import pytest

from tests import fleet_values as values
from tests.published.test_published import content, site


def test_hostnames_lists_machines_and_then_experiments() -> None:
    hosts = content("hostnames")
    machines = content("machines")
    assert [host["hostname"] for host in hosts[: len(machines)]] == [machine["hostname"] for machine in machines]
    assert {tuple(host) for host in hosts} == {("hostname", "ipv4", "ipv6")}
    by_name = {host["hostname"]: host for host in hosts}
    assert by_name["ndt-iupui-mlab1-lga05.mlab-oti.measurement-lab.org"] == {
        "hostname": "ndt-iupui-mlab1-lga05.mlab-oti.measurement-lab.org",
        "ipv4": "4.35.94.11",
        "ipv6": "2001:1900:2100:14::11",
    }
    assert "demo12-mlab1-nuq08.mlab-oti.measurement-lab.org" not in by_name


def test_machines_and_projects_agree() -> None:
    machines = content("machines")
    assert machines[0] == {
        "hostname": "mlab1-chs0t.mlab-sandbox.measurement-lab.org",
        "ipv4": "34.148.229.79",
        "ipv6": "2600:1900:4020:31cd:8000::",
        "project": "mlab-sandbox",
        "type": "virtual",
    }
    projects = content("projects")
    assert projects["mlab4-geg01"] == "mlab-sandbox"
    assert {machine["hostname"].split(".")[0]: machine["project"] for machine in machines} == projects


def test_registration_has_the_fields_of_the_heartbeat() -> None:
    assert content("registration")["mlab1-lga05.mlab-oti.measurement-lab.org"] == {
        "City": "New York",
        "ContinentCode": "NA",
        "CountryCode": "US",
        "Latitude": 40.775,
        "Longitude": -73.875,
        "Machine": "mlab1",
        "Metro": "lga",
        "Probability": 1,
        "Project": "mlab-oti",
        "Site": "lga05",
        "Type": "physical",
        "Uplink": "10g",
    }


def test_a_lame_duck_stays_published_with_probability_zero() -> None:
    fleet = values.fleet(values.lga05(state="lame-duck"), values.del02(probability=0.5))
    chances = {name: entry["Probability"] for name, entry in content("registration", fleet).items()}
    assert chances["mlab1-lga05.mlab-oti.measurement-lab.org"] == 0
    assert chances["mlab1-del02.mlab-oti.measurement-lab.org"] == 0.5
    annotated = {site["name"]: site["annotations"]["probability"] for site in content("sites", fleet)}
    assert annotated == {"del02": 0.5, "lga05": 0}


def test_annotations_give_a_site_its_prefix_and_a_virtual_machine_its_address() -> None:
    annotations = content("annotations")
    assert annotations["mlab1-lga05.mlab-oti.measurement-lab.org"] == {
        "Annotation": {
            "Geo": {
                "City": "New York",
                "ContinentCode": "NA",
                "CountryCode": "US",
                "Latitude": 40.775,
                "Longitude": -73.875,
                "State": "NY",
            },
            "Machine": "mlab1",
            "Network": {"ASName": "Level 3 Parent, LLC", "ASNumber": 3356, "Systems": [{"ASNs": [3356]}]},
            "Site": "lga05",
        },
        "Network": {"IPv4": "4.35.94.0/26", "IPv6": "2001:1900:2100:14::/64"},
        "Type": "physical",
    }
    virtual = annotations["mlab1-chs0t.mlab-sandbox.measurement-lab.org"]
    assert virtual["Network"] == {"IPv4": "34.148.229.79/32", "IPv6": "2600:1900:4020:31cd:8000::/128"}
    assert virtual["Type"] == "virtual"
    assert annotations["mlab1-del02.mlab-oti.measurement-lab.org"]["Network"]["IPv6"] == ""


def test_a_full_site_has_every_effective_field() -> None:
    lga05 = site("lga05")
    nodes = lga05.pop("nodes")
    assert lga05 == {
        "annotations": {"donated": False, "probability": 1, "provider": "mlab", "type": "physical"},
        "lifecycle": {"created": "2019-01-01", "retired": None},
        "loadbalancer": {"roundrobin": True},
        "location": {
            "city": "New York",
            "continent_code": "NA",
            "country_code": "US",
            "latitude": 40.775,
            "longitude": -73.875,
            "metro": "lga",
            "state": "NY",
        },
        "machines": {
            f"mlab{n}": {
                "disk": "sda",
                "iface": "eth0",
                "model": "r630",
                "project": "mlab-staging" if n == 4 else "mlab-oti",
            }
            for n in (1, 2, 3, 4)
        },
        "name": "lga05",
        "network": {
            "ipv4": {"dns1": "8.8.8.8", "dns2": "8.8.4.4", "prefix": "4.35.94.0/26"},
            "ipv6": {
                "dns1": "2001:4860:4860::8888",
                "dns2": "2001:4860:4860::8844",
                "prefix": "2001:1900:2100:14::/64",
            },
        },
        "switch": {
            "auto_negotiation": "yes",
            "flow_control": "no",
            "make": "juniper",
            "model": "qfx5100-48s",
            "rstp": "yes",
            "uplink_port": "xe-0/0/45",
        },
        "transit": {"asn": "AS3356", "provider": "Level 3 Parent, LLC", "uplink": "10g"},
    }
    assert [node["index"] for node in nodes] == [1, 2, 3, 4]
    experiments = nodes[0].pop("experiments")
    assert nodes[0] == {
        "drac": {"v4": {"ip": "4.35.94.4"}},
        "hostname": "mlab1-lga05.mlab-oti.measurement-lab.org",
        "index": 1,
        "project": "mlab-oti",
        "v4": {
            "broadcast": "4.35.94.63",
            "dns1": "8.8.8.8",
            "dns2": "8.8.4.4",
            "gateway": "4.35.94.1",
            "ip": "4.35.94.9",
            "netmask": "255.255.255.192",
            "network": "4.35.94.0/26",
            "subnet": 26,
        },
        "v6": {
            "dns1": "2001:4860:4860::8888",
            "dns2": "2001:4860:4860::8844",
            "gateway": "2001:1900:2100:14::1",
            "ip": "2001:1900:2100:14::9",
            "network": "2001:1900:2100:14::/64",
            "subnet": 64,
        },
    }
    assert experiments[2] == {
        "cloud_enabled": True,
        "hostname": "ndt-iupui-mlab1-lga05.mlab-oti.measurement-lab.org",
        "index": 2,
        "ipv6_enabled": True,
        "name": "ndt.iupui",
        "v4": {"ip": "4.35.94.11"},
        "v6": {"ip": "2001:1900:2100:14::11"},
    }


def test_experiments_of_a_node_are_cut_by_their_place_in_the_list() -> None:
    listed = {name: [e["name"] for e in site(name)["nodes"][0]["experiments"]] for name in ("lga05", "nuq08", "chs0t")}
    assert listed["lga05"][-1] == "neubot.mlab"
    assert len(listed["lga05"]) == 12
    assert listed["nuq08"] == listed["lga05"][:11]
    assert listed["chs0t"] == ["ndt", "ndt.iupui"]


def test_the_corrected_form_has_every_experiment_that_has_an_address() -> None:
    complete = {entry["name"]: entry for entry in content("sites-by-index")}
    listed = {name: [e["name"] for e in site["nodes"][0]["experiments"]] for name, site in complete.items()}
    assert listed["lga05"][-3:] == ["neubot.mlab", "demo11", "demo12"] and len(listed["lga05"]) == 14
    assert listed["nuq08"] == listed["lga05"][:13]
    assert listed["chs0t"] == ["ndt", "ndt.iupui"]
    hosts = {e["hostname"] for site in complete.values() for node in site["nodes"] for e in node["experiments"]}
    machines = {node["hostname"] for site in complete.values() for node in site["nodes"]}
    assert hosts | machines == {host["hostname"] for host in content("hostnames")}


def test_a_small_site_has_its_own_mask_and_no_switch() -> None:
    nuq08 = site("nuq08")
    assert nuq08["switch"] is None
    v4 = nuq08["nodes"][0]["v4"]
    assert (v4["gateway"], v4["broadcast"], v4["netmask"]) == ("192.158.252.177", "192.158.252.191", "255.255.255.240")
    assert nuq08["nodes"][0]["drac"] == {"v4": {"ip": "192.158.252.178"}}


def test_a_site_without_ipv6_has_only_an_empty_address() -> None:
    del02 = site("del02")
    assert del02["network"]["ipv6"]["prefix"] is None
    assert del02["nodes"][0]["v6"] == {"ip": ""}


def test_a_virtual_site_has_addresses_at_its_machines_and_no_network() -> None:
    chs0t = site("chs0t")
    assert "network" not in chs0t
    assert "switch" not in chs0t
    assert chs0t["transit"]["tier"] == "PREMIUM"
    assert chs0t["machines"]["mlab1"] == {
        "disk": "pd-ssd",
        "iface": "ens4",
        "model": "n2-highcpu-4",
        "network": {
            "ipv4": {"address": "34.148.229.79/32"},
            "ipv6": {"address": "2600:1900:4020:31cd:8000::/128"},
        },
        "project": "mlab-sandbox",
    }
    assert sorted(chs0t["nodes"][0]) == ["experiments", "hostname", "index", "project", "v4", "v6"]


@pytest.mark.parametrize(
    ("name", "model", "port", "negotiation"),
    [("geg01", "qfx5100-24q", "et-0/0/23", "yes"), ("lga1t", "qfx5100-48s", "ge-0/0/47", "no")],
)
def test_a_switch_prints_what_differs_from_the_default(name: str, model: str, port: str, negotiation: str) -> None:
    switch = site(name)["switch"]
    assert (switch["model"], switch["uplink_port"], switch["auto_negotiation"]) == (model, port, negotiation)
