"""DNS through the real command line: BIND as `mlab up` starts it, limits, acknowledgements, and the key's secrecy."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconcilers.providers.dns.update import UpdateServer
from services.local import platform
from tests import fleets
from tests.e2e.checkout import Checkout, served

ENV, ZONE = "sandbox", "mlab-sandbox.measurement-lab.test"
LIVE = ("--target", "dns")

pytestmark = pytest.mark.xdist_group("e2e-dns")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """Three sites, their records applied to a name server of this machine."""
    base = tmp_path_factory.mktemp("dns")
    with served(fleets.write_fleet(base / "fleet"), base / "state", ENV, *LIVE, "--target", "buckets") as checkout:
        yield checkout


@pytest.fixture
def clean(fleet: Checkout) -> Iterator[Checkout]:
    """The same fleet; commits of a test are taken back."""
    with fleet.taken_back():
        yield fleet


def key_file(checkout: Checkout) -> Path:
    return checkout.state / "platform" / ENV / "named" / "tsig.key"


def backend(checkout: Checkout) -> UpdateServer:
    ports = {server.program: server.ports for server in platform.status(checkout.state / "platform")}
    return UpdateServer(f"127.0.0.1:{ports['named'][0]}", f"file:{key_file(checkout)}", ())


def applied(checkout: Checkout) -> int:
    return checkout.mlab("apply", "--env", ENV, *LIVE, "--yes").status


def test_the_second_plan_is_empty_and_the_server_answers(fleet: Checkout) -> None:
    status, plan = fleet.plan(ENV, *LIVE)
    assert status == 0 and plan["counts"]["unchanged"] > 80
    assert all(server.problem == "" for server in platform.status(fleet.state / "platform"))
    found = backend(fleet).get(ZONE, (f"ndt-mlab2-lga05.{ZONE}", "AAAA"))
    assert found is not None and found.values == ("2001:db8:0:14::24",)


def test_the_key_is_nowhere_but_in_its_file(fleet: Checkout) -> None:
    path = key_file(fleet)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (secret,) = re.findall(r'secret "([^"]+)"', path.read_text())
    shown = fleet.mlab("plan", "--env", ENV, *LIVE, "-v").out + fleet.mlab("status", "--json").out
    assert secret not in shown
    for other, content in fleet.contents():
        assert other == path or secret.encode() not in content, other
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert secret.encode() not in command.read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue


def test_a_wrong_key_is_an_incomplete_plan_that_does_not_show_it(fleet: Checkout) -> None:
    path = key_file(fleet)
    right = path.read_text()
    wrong = 'key "mlab" { algorithm hmac-sha256; secret "d3Jvbmcgd3Jvbmcgd3Jvbmc="; };\n'  # pragma: allowlist secret
    path.write_text(wrong)
    try:
        done = fleet.mlab("plan", "--env", ENV, *LIVE)
    finally:
        path.write_text(right)
    assert done.status == 4 and "check the key mlab at both ends" in done.out
    assert "d3Jvbmcg" not in done.out + done.err


def test_a_site_that_goes_takes_more_records_than_the_limit_and_an_acknowledgement_permits_it(clean: Checkout) -> None:
    (clean.root / "config" / "sites" / "lga05.yaml").unlink()
    commit = clean.commit("Remove a site")
    status, plan = clean.plan(ENV, *LIVE)
    (scope,) = plan["scopes"]
    assert status == 3 and any("delete of" in line and " AAAA " in line for line in scope["refused"])
    assert {c["source"]["removed_in"] for c in scope["changes"]} == {commit}
    assert applied(clean) == 3
    clean.permit(f"{ENV}/dns/*/{ZONE}/*-lga05", deletions=200)
    done = clean.mlab("plan", "--env", ENV, *LIVE)
    assert done.status == 2
    assert re.search(r"^  - \d+ A, \d+ AAAA   config/sites/lga05.yaml \(removed in", done.out, re.M)
    assert applied(clean) == 0
    assert backend(clean).get(ZONE, (f"ndt-mlab2-lga05.{ZONE}", "AAAA")) is None
    clean.git("reset", "-q", "--hard", "HEAD~2")
    assert applied(clean) == 0


def test_a_zone_that_makes_no_sense_ends_with_5_and_its_line(clean: Checkout) -> None:
    path = "config/zones/project.yaml"
    fleets.edit(
        clean.root,
        path,
        "name: release-0, type: TXT, values: [made for tests]",
        'name: x, type: CNAME, values: ["y.{project}.{domain}."]',
    )
    done = clean.mlab("plan", "--env", ENV, *LIVE)
    assert done.status == 5 and re.search(rf"^{path}:\d+:\d+: D03 zone.target: ", done.out, re.M), done.out + done.err
