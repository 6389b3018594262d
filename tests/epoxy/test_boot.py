"""The boot protocol over HTTP: paths, methods, statuses and texts as the original's clients know them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests import epoxy_service
from tests.epoxy import machine
from tests.epoxy_service import Service, name, spec

ID = r"[A-Za-z0-9_-]{27}"
NO_HOST = "datastore: no such entity\n"
NOT_OURS = "Caller cannot access host\n"


@pytest.fixture(scope="module")
def boots(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with one extension operation and a storage folder."""
    folder = tmp_path_factory.mktemp("boots")
    operations = folder / "operations.json"
    row = {"url": "http://127.0.0.1:9/unused"}
    operations.write_text(json.dumps({"allocate_k8s_token": row, "bmc_store_password": row}))
    made = epoxy_service.Service(folder, *machine.PROXY, "--operations", str(operations)).start()
    yield made
    made.kill()


def test_the_stage1_script_has_exactly_the_original_layout(boots: Service) -> None:
    host = machine.made(boots)
    answer = host.stage1()
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/plain; charset=us-ascii"
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    base = f"https://boot.test/v1/boot/{re.escape(host.name)}"
    chain = spec()["Boot"]["stage1.ipxe"].replace("{{VERSION}}", "v2.1.10")
    expected = (
        f"#!ipxe\n\nset stage1chain_url {re.escape(chain)}\nset stage2_url {base}/{ID}/stage2\n"
        f"set stage3_url {base}/{ID}/stage3\nset report_url {base}/{ID}/report\nset images_version v2\\.1\\.10\n"
        f"set allocate_k8s_token_url {base}/{ID}/extension/allocate_k8s_token\n"
        f"set bmc_store_password_url {base}/{ID}/extension/bmc_store_password\n\nchain \\$\\{{stage1chain_url\\}}\n"
    )
    assert re.fullmatch(expected, answer.text), answer.text
    assert len(set(re.findall(rf"/({ID})/", answer.text))) == 4


def test_the_stage1_document_has_exactly_the_original_layout(boots: Service) -> None:
    host = machine.made(boots, Extensions=["allocate_k8s_token"])
    answer = host.call(host.path("stage1.json"), data="{}")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    document = answer.json()
    assert answer.text == json.dumps(document, indent=4)
    assert list(document) == ["kargs", "v1"]
    kargs = ["epoxy.allocate_k8s_token", "epoxy.images_version", "epoxy.report", "epoxy.stage2", "epoxy.stage3"]
    assert list(document["kargs"]) == kargs
    assert document["v1"] == {"chain": spec()["Boot"]["stage1.json"].replace("{{VERSION}}", "v2.1.10")}


def test_an_operation_that_the_server_does_not_offer_is_not_advertised(boots: Service) -> None:
    host = machine.made(boots, Extensions=["allocate_k8s_token", "never_heard_of"])
    host.stage1()
    assert sorted(host.urls) == ["allocate_k8s_token", "report", "stage1chain", "stage2", "stage3"]


def test_a_url_reaches_the_machine_byte_for_byte_and_every_version_is_filled_in(boots: Service) -> None:
    odd = "https://images.test/{{VERSION}}/a%25b?c=1&d=<e>+'f'/{{VERSION}}"
    host = machine.made(boots, Boot={**spec()["Boot"], "stage1.ipxe": odd, "stage2": odd})
    filled = odd.replace("{{VERSION}}", "v2.1.10")
    assert f"set stage1chain_url {filled}\n" in host.stage1().text
    answer = host.ask("stage2")
    assert answer.json() == {"v1": {"chain": filled}}
    assert "\\u0026d=\\u003ce\\u003e" in answer.text, "Go's spelling"


@pytest.mark.parametrize("stage", ["stage2", "stage3"])
def test_a_stage_is_answered_with_its_chain_alone(boots: Service, stage: str) -> None:
    host = machine.made(boots)
    host.stage1()
    host.ask("stage2")
    answer = host.ask(stage)
    chain = spec()["Boot"][stage].replace("{{VERSION}}", "v2.1.10")
    assert answer.text == f'{{\n    "v1": {{\n        "chain": "{chain}"\n    }}\n}}'
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert host.ask(stage).text == answer.text, "a repeat gets the same answer"


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "/_ah/health", 200, "ok"),
        ("HEAD", "/_ah/health", 405, ""),
        ("GET", "{host}/stage1.ipxe", 405, ""),
        ("GET", "{host}/stage1.json", 405, ""),
        ("PUT", "{host}/x/stage2", 405, ""),
        ("DELETE", "{host}/x/report", 405, ""),
        ("POST", "/v1/storage/a", 405, ""),
        ("POST", "{host}", 404, "404 page not found\n"),
        ("POST", "{host}/", 404, "404 page not found\n"),
        ("POST", "{host}/stage1.ipxe/", 404, "404 page not found\n"),
        ("POST", "{host}/x/stage4", 404, "404 page not found\n"),
        ("POST", "{host}/x/extension/", 404, "404 page not found\n"),
        ("GET", "/v1/", 404, "404 page not found\n"),
        ("POST", "/v1/boot/nobody.test/stage1.ipxe", 404, NO_HOST),
        ("POST", "/v1/boot/nobody.test/stage1.json", 404, NO_HOST),
        ("POST", "/v1/boot/nobody.test/x/stage2", 404, NO_HOST),
        ("POST", "/v1/boot/nobody.test/x/stage3", 404, NO_HOST),
        ("POST", "/v1/boot/nobody.test/x/report", 404, NO_HOST),
        ("POST", "/v1/boot/nobody.test/x/extension/allocate_k8s_token", 404, NO_HOST),
        ("GET", "/v1/storage/a", 501, "StoragePrefixURL is not specified\n"),
    ],
)
def test_routes_answer_as_the_original_does(boots: Service, method: str, path: str, status: int, text: str) -> None:
    host = machine.made(boots)
    answer = host.call(path.replace("{host}", f"/v1/boot/{host.name}"), method=method)
    assert (answer.status_code, answer.text) == (status, text)
    if text and status != 200:
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("last", ["stage1.ipxe", "stage1.json", "x/stage2", "x/stage3", "x/report"])
def test_another_address_is_refused_with_the_original_text(boots: Service, last: str) -> None:
    host = machine.made(boots)
    answer = host.call(host.path(last), address="198.18.200.1")
    assert (answer.status_code, answer.text) == (403, NOT_OURS)


def test_the_form_is_collected_as_the_original_does(boots: Service) -> None:
    host = machine.made(boots)
    body = "mac=a&mac=+b+&serial=&uuid=%ff&colour=red&product=Caf%C3%A9+%28x%29&version=2.0.0%2B"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert host.call(host.path("stage1.ipxe"), data=body, headers=headers).status_code == 200
    assert _seen(host)["CollectedInformation"] == {"mac": "a b", "product": "Café (x)", "version": "2.0.0+"}
    host.call(host.path("stage1.ipxe"), files={"asset": (None, "from multipart")})
    assert _seen(host)["CollectedInformation"]["asset"] == "from multipart"
    assert host.call(host.path("stage1.ipxe"), data=b"not a form").status_code == 200
    assert _seen(host)["CollectedInformation"]["mac"] == "a b"


def test_a_whole_boot_leaves_its_times_in_the_record_and_the_metrics(boots: Service) -> None:
    host = machine.made(boots)
    host.boot()
    seen = _seen(host)
    assert seen["LastSuccess"] == seen["LastReport"] >= seen["LastSessionCreation"] > "2026"
    text = boots.call("GET", "/metrics", token=None).text
    assert f'epoxy_stage1_total{{machine="{host.name}"}} 1.0' in text
    boot, success = (
        float(_metric(text, f'epoxy_last_{what}{{machine="{host.name}"}}')) for what in ("boot", "success")
    )
    assert success >= boot > 1_700_000_000
    assert re.search(r'epoxy_request_duration_seconds_count\{code="200"\} [1-9]', text)


@pytest.mark.parametrize(
    "sent",
    [
        {"data": {"message": "error: no disk"}},
        {"params": {"message": "success"}},
        {"files": {"message": (None, "success")}},
        {"data": {"message": "Success"}},
        {"data": b"message=success"},
    ],
)
def test_what_is_no_success_in_an_urlencoded_body_is_a_report_and_nothing_more(
    boots: Service, sent: dict[str, object]
) -> None:
    host = machine.made(boots)
    host.stage1()
    host.ask("stage2")
    host.ask("stage3")
    answer = host.ask("report", **sent)
    assert (answer.status_code, answer.content) == (204, b"")
    seen = _seen(host)
    assert seen["LastReport"] > "2026" and seen["LastSuccess"].startswith("0001")


def test_a_second_boot_has_new_ids_and_the_first_ones_are_dead(boots: Service) -> None:
    host = machine.made(boots)
    host.boot()
    old = dict(host.urls)
    host.boot()
    assert not set(old.values()) & set(host.urls.values()) - {old["stage1chain"]}
    for key in ("stage2", "stage3", "report"):
        answer = host.call(old[key], data={"message": "success"})
        assert (answer.status_code, answer.text) == (403, "Given session ID does not match host record\n")


def test_a_retired_host_gets_no_boot(boots: Service) -> None:
    host = machine.made(boots, Retired=True)
    assert (host.stage1().status_code, host.stage1().text) == (403, "Host is retired\n")


def test_no_id_is_kept_logged_or_shown(boots: Service) -> None:
    host = machine.made(boots)
    host.stage1()
    ids = {url.split("/")[4] for key, url in host.urls.items() if key != "stage1chain"}
    for key in ("stage2", "stage3"):
        host.ask(key)
    host.report("error: POST https://boot.test" + host.urls["stage3"], **{"log.tail": host.urls["report"]})
    host.call(host.urls["report"].replace("/v1/boot", "//v1/boot"))
    host.call(host.urls["report"] + "/more")
    shown = json.dumps(boots.call("GET", f"/admin/v1/hosts/{host.name}").json())
    kept = b"".join(file.read_bytes() for file in Path(boots.directory).glob("epoxy.db*"))
    places = {"log": boots.log.read_text(), "record": shown, "database": kept.decode("latin-1")}
    assert len(ids) == 4
    assert [(place, identity) for place, text in places.items() for identity in ids if identity in text] == []


def _seen(host: machine.Machine) -> dict[str, Any]:
    answer: requests.Response = host.service.call("GET", f"/admin/v1/hosts/{host.name}")
    return dict(answer.json()["observed"])


def _metric(text: str, series: str) -> str:
    return next(line.rsplit(" ", 1)[1] for line in text.splitlines() if line.startswith(series))


def test_a_name_without_a_record_differs_in_nothing_from_one_that_cannot_be(boots: Service) -> None:
    host = machine.made(boots)
    texts = {host.call(f"/v1/boot/{odd}/stage1.ipxe").text for odd in (name(4, "zzz99"), "a%20b", "%C3%BC", "x" * 300)}
    assert texts == {NO_HOST}


@pytest.mark.parametrize(
    ("listen", "record", "status"),
    [
        ("127.0.0.1:0", {"IPv4Addr": "127.0.0.1"}, 200),
        ("127.0.0.1:0", {"IPv4Addr": "198.18.5.11"}, 403),
        ("[::1]:0", {"Callers": ["::1"]}, 200),
        ("[::1]:0", {"Callers": ["2001:db8::/64"]}, 403),
    ],
)
def test_without_a_trusted_proxy_the_peer_of_the_connection_counts(
    tmp_path: Path, listen: str, record: dict[str, object], status: int
) -> None:
    service = Service(tmp_path, "--listen", listen).start()
    try:
        body = {**epoxy_service.record(name(1, "pee01")), "IPv4Addr": "198.18.5.11", **record}
        service.create(body)
        headers = {"X-Forwarded-For": "198.18.5.11"}
        answer = service.call("POST", f"/v1/boot/{body['Name']}/stage1.ipxe", token=None, headers=headers)
        assert answer.status_code == status
    finally:
        service.kill()
