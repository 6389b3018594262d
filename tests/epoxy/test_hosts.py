"""Records: preconditions, pages, and the two owners of one record."""

from __future__ import annotations

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor

from services.epoxy import records, store
from tests import epoxy_service
from tests.epoxy_service import READ_TOKEN, Service, name, record

HOSTS = "/admin/v1/hosts"


def booted(before: records.Observed) -> records.Observed:
    """What the server writes at a boot and its success."""
    return dataclasses.replace(
        before,
        update_enabled=True,
        current_session_ids={"Stage2ID": "2d711642b726b044"},
        last_session_creation_ns=1_700_000_000_123_456_789,
        last_report_ns=1_700_000_300_000_000_000,
        last_success_ns=1_700_000_300_000_000_000,
        collected_information={"mac": "52:54:00:12:34:56"},
    )


def test_a_record_comes_back_as_it_was_put(shared: Service) -> None:
    host = name(1, "rec01")
    owner = {"owner": "mlab", "env": "sandbox", "scope": "sandbox/epoxy", "source": "config/a.yaml", "commit": "c0ffee"}
    body = record(host, Owner=owner, Protect=True)
    etag = shared.create(body)
    answer = shared.call("GET", f"{HOSTS}/{host}", token=READ_TOKEN)
    assert answer.headers["ETag"] == etag == answer.json()["etag"]
    assert answer.json()["desired"] == body
    assert answer.json()["observed"] == {
        "UpdateEnabled": False,
        "CurrentSessionIDs": {"Stage2ID": "", "Stage3ID": "", "ReportID": "", "ExtensionID": ""},
        "LastSessionCreation": "0001-01-01T00:00:00Z",
        "LastReport": "0001-01-01T00:00:00Z",
        "LastSuccess": "0001-01-01T00:00:00Z",
        "CollectedInformation": {},
        "NextBoot": None,
    }


def test_a_write_with_an_old_etag_changes_nothing(shared: Service) -> None:
    host = name(1, "cas01")
    first = shared.create(record(host))
    path = f"{HOSTS}/{host}"
    second = shared.call("PUT", path, json=record(host, ImagesVersion="v2"), headers={"If-Match": first}).headers[
        "ETag"
    ]
    assert second != first
    for method, sent in (("PUT", record(host, ImagesVersion="v3")), ("DELETE", None)):
        answer = shared.call(method, path, json=sent, headers={"If-Match": first})
        assert answer.status_code == 412 and second in answer.json()["error"]["message"]
    answer = shared.call("PUT", path, json=record(host), headers={"If-None-Match": "*"})
    assert answer.status_code == 412
    assert shared.call("GET", path).json()["desired"]["ImagesVersion"] == "v2"


def test_writing_the_same_again_keeps_the_etag(shared: Service) -> None:
    host = name(1, "sam01")
    etag = shared.create(record(host))
    answer = shared.call("PUT", f"{HOSTS}/{host}", json=record(host), headers={"If-Match": etag})
    assert (answer.status_code, answer.headers["ETag"]) == (200, etag)


def test_a_record_made_anew_never_has_an_etag_of_its_former_life(shared: Service) -> None:
    host = name(1, "aba01")
    etag = shared.create(record(host))
    assert shared.call("DELETE", f"{HOSTS}/{host}", headers={"If-Match": etag}).status_code == 204
    assert shared.create(record(host)) != etag


def test_a_retired_host_can_be_removed_and_a_protected_one_cannot(shared: Service) -> None:
    host = name(1, "ret01")
    path = f"{HOSTS}/{host}"
    etag = shared.create(record(host, Retired=True, Protect=True))
    refused = shared.call("DELETE", path, headers={"If-Match": etag})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "host.protected")
    etag = shared.call("PUT", path, json=record(host, Retired=True), headers={"If-Match": etag}).headers["ETag"]
    assert shared.call("DELETE", path, headers={"If-Match": etag}).status_code == 204
    assert shared.call("GET", path).status_code == 404


def test_of_many_writers_with_one_etag_exactly_one_wins(shared: Service) -> None:
    host = name(1, "rac01")
    path = f"{HOSTS}/{host}"
    start = threading.Barrier(8)

    def write(number: int, headers: dict[str, str]) -> int:
        start.wait()
        return shared.call("PUT", path, json=record(host, ImagesVersion=f"v{number}"), headers=headers).status_code

    with ThreadPoolExecutor(8) as pool:
        created = list(pool.map(lambda n: write(n, {"If-None-Match": "*"}), range(8)))
        assert sorted(created) == [201] + [412] * 7
        live = shared.call("GET", path).json()
        assert live["desired"]["ImagesVersion"] == f"v{created.index(201)}"
        updated = list(pool.map(lambda n: write(n + 10, {"If-Match": live["etag"]}), range(8)))
    assert sorted(updated) == [200] + [412] * 7
    assert shared.call("GET", path).json()["desired"]["ImagesVersion"] == f"v{updated.index(200) + 10}"


def test_a_boot_between_plan_and_apply_moves_no_etag_and_an_apply_loses_no_boot(shared: Service) -> None:
    host = name(1, "two01")
    path = f"{HOSTS}/{host}"
    etag = shared.create(record(host))
    beside = store.connect(shared.store_url)
    epoxy_service.observe(beside, host, booted)
    beside.close()
    seen = shared.call("GET", path).json()
    assert seen["etag"] == etag and seen["desired"] == record(host)
    assert seen["observed"]["LastSessionCreation"] == "2023-11-14T22:13:20.123456789Z"
    answer = shared.call("PUT", path, json=record(host, IPv4Addr="198.18.5.12"), headers={"If-Match": etag})
    assert answer.status_code == 200
    assert answer.json()["observed"] == seen["observed"]
    assert shared.call("GET", path).json()["observed"] == seen["observed"]


def test_boots_and_writes_at_once_lose_nothing_of_either_owner(shared: Service) -> None:
    host = name(1, "mix01")
    path = f"{HOSTS}/{host}"
    etag = shared.create(record(host))
    beside = store.connect(shared.store_url)

    def count(before: records.Observed) -> records.Observed:
        return dataclasses.replace(before, last_report_ns=before.last_report_ns + 1)

    def boot() -> None:
        for _ in range(30):
            epoxy_service.observe(beside, host, count)

    boots = [threading.Thread(target=boot) for _ in range(2)]
    for thread in boots:
        thread.start()
    for number in range(30):
        answer = shared.call("PUT", path, json=record(host, ImagesVersion=f"v{number}"), headers={"If-Match": etag})
        assert answer.status_code == 200
        etag = answer.headers["ETag"]
    for thread in boots:
        thread.join()
    live = beside.get(host)
    beside.close()
    assert live is not None
    assert live.observed.last_report_ns == 60
    assert live.desired.images_version == "v29"


def test_pages_hold_every_host_once_in_order(service: Service) -> None:
    wanted = sorted(name(number, f"pag0{number % 3}") for number in range(1, 8))
    for host in reversed(wanted):
        service.create(record(host))
    found: list[str] = []
    after: str | None = ""
    sizes = []
    while after is not None:
        page = service.call("GET", f"{HOSTS}?limit=3&after={after}").json()
        sizes.append(len(page["hosts"]))
        found += [host["desired"]["Name"] for host in page["hosts"]]
        after = page["next"]
    assert found == wanted
    assert sizes == [3, 3, 1]
    assert service.call("GET", f"{HOSTS}?limit=7").json()["next"] is None
