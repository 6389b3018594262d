"""The published files: shapes of the public platform, known values, stable bytes, indexes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from reconcilers.core.model import Span
from reconcilers.fleet import published
from reconcilers.fleet.model import Entity, Fleet, Silence
from tests import fleet_values as values
from tests.config.configuration import committed
from tests.golden import check

RULE = Entity(
    kind="EmbargoRule",
    name="sidestream-third-party",
    data={
        "kind": "EmbargoRule",
        "name": "sidestream-third-party",
        "datatypes": ["sidestream"],
        "buckets": {"source": "scraper-{project}", "private_suffix": "-e"},
        "state": "lifted",
    },
    span=Span("config/embargo/sidestream-third-party.yaml", 2),
)


GOLDEN = Path(__file__).parent / "golden"


V1 = [
    "v1/adhoc/placeholder.json",
    "v1/index.html",
    "v1/retired/annotations.json",
    "v1/sites/annotations.json",
    "v1/sites/geo.json",
    "v1/sites/hostnames.json",
    "v1/sites/locations.json",
    "v1/sites/sites.json",
    "v1/sites/switches.json",
    "v1/zones/placeholder.zone",
]


V2 = [
    "v2/adhoc/placeholder.json",
    "v2/index.html",
    "v2/retired/sites.json",
    "v2/sites/annotations.json",
    "v2/sites/donated.json",
    "v2/sites/geo-by-site.json",
    "v2/sites/geo.json",
    "v2/sites/hostnames.json",
    "v2/sites/kernel-parameters.json",
    "v2/sites/locations-physical.json",
    "v2/sites/machines.json",
    "v2/sites/max-rates.json",
    "v2/sites/projects.json",
    "v2/sites/registration.json",
    "v2/sites/site-machines.json",
    "v2/sites/sites-by-index.json",
    "v2/sites/sites.json",
]


def texts(fleet: Fleet | None = None, name: str = "sandbox") -> dict[str, str]:
    sets = published.sets(fleet or values.fleet(), values.environment(name))
    return {file.path: file.data.decode() for file_set in sets for file in file_set.files}


def content(name: str, fleet: Fleet | None = None) -> Any:
    folder = "" if "/" in name else "v2/sites/"
    return json.loads(texts(fleet)[f"{folder}{name}.json"])


def test_the_sets_hold_the_files_that_clients_know() -> None:
    known = texts()
    assert [path for path in known if path.startswith("v1/")] == V1
    assert [path for path in known if path.startswith("v2/")] == V2
    assert {path for path in known if not path.startswith(("v1/", "v2/", "prometheus/"))} == {"embargo/rules.json"}


def test_the_page_names_every_published_file() -> None:
    page = (Path(__file__).parents[2] / "docs" / "published-files.md").read_text()
    assert [path for path in texts() if not path.startswith("prometheus/") and f"`{path}`" not in page] == []


def test_zones_are_published_under_their_domains() -> None:
    environment = committed().environments["staging"]
    sets = published.sets(committed(), environment)
    paths = [file.path for file_set in sets for file in file_set.files if file.path.endswith(".zone")]
    assert paths == [
        "v1/zones/placeholder.zone",
        "v2/zones/measurement-lab.test.zone",
        "v2/zones/mlab-staging.measurement-lab.test.zone",
    ]


def small_fleet() -> Fleet:
    """A small physical site, a virtual one and a retired one: every file has something of each kind in it."""
    return values.fleet(values.nuq08(), values.chs0t(), values.trn02(state="retired"))


@pytest.mark.parametrize("path", [*V1, *V2])
def test_the_files_of_a_small_fleet_are_as_reviewed(path: str) -> None:
    check(GOLDEN / path, texts(small_fleet())[path])


def test_the_retired_formats_have_dotted_names_and_the_same_addresses() -> None:
    old, new = content("v1/sites/hostnames"), content("hostnames")
    assert {"hostname": "ndt.iupui.mlab1.lga05.measurement-lab.org", "ipv4": "4.35.94.11", "ipv6": f"{LGA6}11"} in old
    assert [(host["ipv4"], host["ipv6"]) for host in old] == [(host["ipv4"], host["ipv6"]) for host in new]
    first, second = content("v1/sites/sites"), content("sites")
    node = next(entry for entry in first if entry["name"] == "lga05")["nodes"][3]
    assert node["hostname"] == "mlab4.lga05.measurement-lab.org"
    assert node["experiments"][2]["hostname"] == "ndt.iupui.mlab4.lga05.measurement-lab.org"
    assert without_names(first) == without_names(second)


LGA6 = "2001:1900:2100:14::"


def without_names(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_names(inner) for key, inner in value.items() if key != "hostname"}
    return [without_names(inner) for inner in value] if isinstance(value, list) else value


def test_a_retired_site_is_in_the_retired_files_only() -> None:
    files = texts(values.fleet(values.lga05(), values.trn02(state="retired")))
    assert [site["name"] for site in json.loads(files["v2/retired/sites.json"])] == ["trn02"]
    [annotated] = json.loads(files["v1/retired/annotations.json"])
    assert annotated["Name"] == "trn02" and "Machine" not in annotated["Annotation"] and "Type" not in annotated
    assert annotated["Network"] == {"IPv4": "194.116.85.192/26", "IPv6": "2a07:1ec0:775::/48"}
    of_it = {path for path, text in files.items() if "trn02" in text}
    assert of_it == {"v2/retired/sites.json", "v1/retired/annotations.json"}


@pytest.mark.parametrize("state", ["planned", "unlisted"])
def test_a_site_that_is_neither_active_nor_retired_is_published_nowhere(state: Any) -> None:
    assert not [
        path for path, text in texts(values.fleet(values.lga05(), values.trn02(state=state))).items() if "trn02" in text
    ]


def test_a_virtual_site_has_the_network_of_its_first_machine_where_a_site_has_one() -> None:
    by_name = {entry["Name"]: entry for entry in content("v1/sites/annotations")}
    assert by_name["chs0t"]["Network"] == {"IPv4": "34.148.229.79/32", "IPv6": "2600:1900:4020:31cd:8000::/128"}
    assert by_name["del02"]["Network"] == {"IPv4": "61.246.223.0/26", "IPv6": ""}
    features = {f["properties"]["name"]: f for f in content("v1/sites/geo")["features"]}
    assert features["chs0t"]["properties"]["ipv4_prefix"] == "34.148.229.79/32"
    assert features["chs0t"]["geometry"] == {"type": "Point", "coordinates": [-80.0405, 32.8986]}


def test_the_map_repeats_a_site_for_each_machine_and_its_corrected_form_does_not() -> None:
    names = [feature["properties"]["name"] for feature in content("geo")["features"]]
    assert Counter(names) == {site: len(machines) for site, machines in content("site-machines").items()}
    corrected = {f["properties"]["name"]: f["properties"] for f in content("geo-by-site")["features"]}
    assert {site: properties["machines"] for site, properties in corrected.items()} == content("site-machines")
    assert (corrected["chs0t"]["type"], corrected["lga05"]["asn"]) == ("virtual", "AS3356")


@pytest.mark.parametrize(
    ("uplink", "prefix", "rate"),
    [
        ("1g", "198.18.0.0/26", 150_000_000),
        ("1g", "198.18.0.0/28", 300_000_000),
        ("1g", "198.18.0.0/29", 300_000_000),
        ("10g", "198.18.0.0/26", 2_500_000_000),
        ("10g", "198.18.0.0/28", 7_500_000_000),
        ("40g", "198.18.0.0/26", 10_000_000_000),
        ("40g", "198.18.0.0/29", 30_000_000_000),
    ],
)
def test_a_single_server_may_send_three_times_as_much_but_at_1g(uplink: str, prefix: str, rate: int) -> None:
    one = values.physical("abc01", prefix, None, uplink=uplink, machines=("mlab1",), switch=None)
    assert content("max-rates", values.fleet(one, values.chs0t())) == {"abc01": rate}


def test_switches_places_and_donations_list_the_sites_that_have_them() -> None:
    switches = content("v1/sites/switches")
    assert switches["geg01"] == {
        "auto_negotiation": "yes",
        "flow_control": "no",
        "ipv4_prefix": "50.52.93.64/26",
        "rstp": "yes",
        "switch_make": "juniper",
        "switch_model": "qfx5100-24q",
        "uplink_port": "et-0/0/23",
        "uplink_speed": "40g",
    }
    assert set(switches) == {"del02", "geg01", "lga05", "lga1t", "trn02"}
    places = content("v1/sites/locations")
    assert {place["site"] for place in places} - {p["site"] for p in content("locations-physical")} == {"chs0t"}
    assert places[0] == {
        "city": "Charleston",
        "country": "US",
        "latitude": 32.8986,
        "longitude": -80.0405,
        "metro": ["chs0t", "chs"],
        "roundrobin": True,
        "site": "chs0t",
        "uplink_speed": "1g",
    }
    assert content("donated") == ["nuq08"]


def test_an_index_beyond_the_slots_is_published_where_the_site_allows_it() -> None:
    silence = Silence("S05", "as the public platform does", Span("config/sites/nuq08.yaml", 30))
    allowed = values.fleet(dataclasses.replace(values.nuq08(), allow=(silence,)))
    name = "demo12-mlab1-nuq08.mlab-oti.measurement-lab.org"
    assert name not in [host["hostname"] for host in content("hostnames", values.fleet(values.nuq08()))]
    assert {"hostname": name, "ipv4": "192.158.252.191", "ipv6": "2001:4f8:ffff:3::191"} in content(
        "hostnames", allowed
    )


def test_the_page_links_every_file_of_its_version_and_no_time() -> None:
    for version, paths in (("v1", V1), ("v2", V2)):
        page = texts()[f"{version}/index.html"]
        links = re.findall(r'<li><a href="(.+?)">(.+?)</a></li>', page)
        assert [link for link, text in links if link == text] == [link for link, _ in links]
        wanted = {path for path in paths if not path.endswith("index.html")} | {f"{version}/index.json"}
        assert {f"{version}/{link.removeprefix('./')}" for link, _ in links} == wanted
        assert not re.search(r"\d\d:\d\d", page)


def test_the_same_commit_gives_the_same_bytes_in_another_process() -> None:
    program = (
        "from tests.published.test_published import texts; import hashlib\n"
        "print(hashlib.sha256(repr(sorted(texts().items())).encode()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "TZ": zone},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed, zone in (("1", "UTC"), ("2", "Asia/Tokyo"))
    }
    assert digests == {hashlib.sha256(repr(sorted(texts().items())).encode()).hexdigest() + "\n"}


def site(name: str) -> dict[str, Any]:
    return next(entry for entry in content("sites") if entry["name"] == name)


def test_embargo_rules_name_the_buckets_of_the_project() -> None:
    fleet = values.fleet(embargo=[RULE])
    assert json.loads(texts(fleet, "staging")["embargo/rules.json"]) == {
        "v": 1,
        "rules": [
            {
                "name": "sidestream-third-party",
                "datatypes": ["sidestream"],
                "buckets": {"source": "scraper-mlab-staging", "private_suffix": "-e"},
                "state": "lifted",
            }
        ],
    }


def test_bytes_do_not_depend_on_the_order_of_what_was_loaded() -> None:
    fleet = values.fleet(embargo=[RULE])
    shuffled = dataclasses.replace(
        fleet,
        sites=dict(reversed(list(fleet.sites.items()))),
        experiments=dict(reversed(list(fleet.experiments.items()))),
    )
    assert texts(shuffled) == texts(fleet)


def test_environments_of_one_domain_publish_the_same_inventory() -> None:
    fleet = values.fleet()
    inventories = [{p: t for p, t in texts(fleet, name).items() if p.startswith("v")} for name in values.PROJECTS]
    assert inventories[0] == inventories[1] == inventories[2]


def test_every_json_file_has_a_line_for_each_element() -> None:
    for path, text in texts().items():
        assert text.endswith("\n")
        if path.startswith(("v1/sites/", "v2/sites/", "prometheus/")):
            value = json.loads(text)
            features = len(value["features"]) + 1 if "features" in value else 0
            assert text.count("\n") == len(value) + 2 + features - (1 if not value else 0), path


def test_an_index_lists_every_file_with_its_digest_and_changes_with_any() -> None:
    first, second = (
        published.sets(values.fleet(*sites), values.environment())
        for sites in ([values.lga05()], [values.lga05(state="lame-duck")])
    )
    for file_set in first:
        index = json.loads(file_set.index.data)
        assert [entry["path"] for entry in index["files"]] == sorted(file.path for file in file_set.files)
        for entry, file in zip(index["files"], file_set.files, strict=True):
            assert (entry["size"], entry["sha256"]) == (len(file.data), hashlib.sha256(file.data).hexdigest())
            assert entry["sha256"].startswith(entry["version"])
    assert [s.index.path for s in first] == [f"{s.name}/index.json" for s in first]
    assert [s.name for s in first] == ["v1", "v2", "embargo", "prometheus"]
    changed = [a.name for a, b in zip(first, second, strict=True) if a.index != b.index]
    assert changed == ["v1", "v2"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([], b"[]\n"),
        ({}, b"{}\n"),
        ([1], b"[\n1\n]\n"),
        ({"b": 1, "a": ["x"]}, b'{\n"a": ["x"],\n"b": 1\n}\n'),
        ({"a": [{"d": 1.5, "c": "é"}, {}]}, '{\n"a": [\n{"c":"é","d":1.5},\n{}\n]\n}\n'.encode()),
    ],
)
def test_json_is_cut_into_lines(value: Any, text: bytes) -> None:
    assert published.encode(value) == text
