"""Host records of the boot service: whose, how they boot, and what becomes of them when a site retires."""

from __future__ import annotations

from typing import Any

import pytest

from reconcilers.core.model import Id, Span
from reconcilers.render import epoxy
from tests import fleet_values as values

DOMAIN = "measurement-lab.test"


def hosts(*sites: Any, name: str = "production") -> dict[str, Any]:
    rendered = epoxy.resources(values.fleet(*sites), values.environment(name, domain=DOMAIN))
    return {resource.id.name: resource for resource in rendered}


def test_a_record_says_who_may_boot_from_where() -> None:
    record = hosts(values.lga05())[f"mlab1-lga05.mlab-oti.{DOMAIN}"]
    api = "epoxy-boot-api.mlab-oti.measurement-lab.test"
    assert record.id == Id("Host", f"mlab1-lga05.mlab-oti.{DOMAIN}")
    assert record.spec == {
        "Name": f"mlab1-lga05.mlab-oti.{DOMAIN}",
        "IPv4Addr": "4.35.94.9",
        "Boot": {
            "stage1.ipxe": f"https://{api}:4430/v1/storage/{{{{VERSION}}}}/stage3_ubuntu/stage1to2.ipxe",
            "stage1.json": f"https://{api}/v1/storage/{{{{VERSION}}}}/stage3_ubuntu/stage1to2.json",
            "stage2": f"https://{api}/v1/storage/{{{{VERSION}}}}/stage3_ubuntu/stage2to3.json",
            "stage3": f"https://{api}/v1/storage/{{{{VERSION}}}}/stage3_ubuntu/stage3post.json",
        },
        "Update": {
            "stage1.ipxe": f"https://{api}:4430/v1/storage/{{{{VERSION}}}}/stage3_update/stage1to2.ipxe",
            "stage1.json": f"https://{api}/v1/storage/{{{{VERSION}}}}/stage3_update/stage1to2.json",
            "stage2": f"https://{api}/v1/storage/{{{{VERSION}}}}/stage3_update/stage2to3.json",
            "stage3": f"https://{api}/v1/storage/{{{{VERSION}}}}/stage3_update/stage3post_mlx.json",
        },
        "ImagesVersion": "v1.2.3",
        "Extensions": ["allocate_k8s_token", "bmc_store_password"],
        "Retired": False,
    }
    assert record.span == Span("config/sites/lga05.yaml", 20, 3)


def test_every_machine_belongs_to_exactly_one_environment() -> None:
    counts = {name: len(hosts(name=name)) for name in values.PROJECTS}
    assert counts == {"sandbox": 2 + 1 + 4, "staging": 3, "production": 3 * 4 + 1}


def test_a_machine_without_a_controller_stores_no_password() -> None:
    record = hosts(values.chs0t(), name="sandbox")[f"mlab1-chs0t.mlab-sandbox.{DOMAIN}"]
    assert record.spec["Extensions"] == ["allocate_k8s_token"]
    assert record.spec["IPv4Addr"] == "34.148.229.79"


@pytest.mark.parametrize(
    ("state", "boot_records", "retired"),
    [
        ("active", "kept", [False] * 3),
        ("lame-duck", "kept", [False] * 3),
        ("retired", "kept", [True] * 3),
        ("retired", "removed", []),
        ("planned", "kept", []),
        ("unlisted", "kept", []),
    ],
)
def test_the_state_of_a_site_decides_over_its_records(state: str, boot_records: str, retired: list[bool]) -> None:
    found = hosts(values.lga05(state=state, boot_records=boot_records))
    assert [record.spec["Retired"] for record in found.values()] == retired


def test_a_retired_record_points_at_the_line_that_retired_it() -> None:
    record = hosts(values.lga05(state="retired"))[f"mlab2-lga05.mlab-oti.{DOMAIN}"]
    assert record.span == Span("config/sites/lga05.yaml", 8, 11)
