"""The rows that lock scopes, by the server's clock."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests

from tests import waiting
from tests.epoxy_service import Service

LOCKS = "/admin/v1/locks"


def take(service: Service, scope: str, identity: str, ttl_s: float = 60) -> requests.Response:
    body: dict[str, Any] = {
        "identity": identity,
        "actor": "ci-bot",
        "run_url": "ci/run/7",
        "started": "2026-01-01T00:00:00Z",
    }
    return service.call("PUT", f"{LOCKS}/{scope}", json={**body, "ttl_s": ttl_s})


def renew(service: Service, scope: str, identity: str, ttl_s: float = 60) -> requests.Response:
    return service.call("PATCH", f"{LOCKS}/{scope}", json={"identity": identity, "ttl_s": ttl_s})


def release(service: Service, scope: str, identity: str) -> requests.Response:
    return service.call("DELETE", f"{LOCKS}/{scope}", params={"identity": identity})


def test_a_held_lock_is_refused_and_its_holder_named(shared: Service) -> None:
    assert take(shared, "sandbox/a", "run-1").status_code == 200
    refused = take(shared, "sandbox/a", "run-2")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "lock.held")
    for word in ("run-1", "ci-bot", "ci/run/7", "2026-01-01T00:00:00Z"):
        assert word in refused.json()["error"]["message"]
    assert take(shared, "staging/a", "run-2").status_code == 200
    shown = shared.call("GET", f"{LOCKS}/sandbox/a").json()
    assert shown["identity"] == "run-1" and 0 < shown["expires_in_s"] <= 60


def test_only_the_holder_renews_and_releases(shared: Service) -> None:
    take(shared, "sandbox/b", "run-1", 60)
    assert renew(shared, "sandbox/b", "run-2").status_code == 409
    assert release(shared, "sandbox/b", "run-2").status_code == 409
    assert renew(shared, "sandbox/b", "run-1", 3600).json()["expires_in_s"] > 3000
    assert release(shared, "sandbox/b", "run-1").status_code == 204
    assert renew(shared, "sandbox/b", "run-1").status_code == 404
    assert take(shared, "sandbox/b", "run-2").status_code == 200


def test_an_expired_lock_goes_to_the_next_and_the_former_holder_may_not_renew(shared: Service) -> None:
    take(shared, "sandbox/c", "run-1", 0.1)
    waiting.until(lambda: take(shared, "sandbox/c", "run-2").status_code == 200, "the lock is free")
    assert renew(shared, "sandbox/c", "run-1").status_code == 409
    release(shared, "sandbox/c", "run-2")
    assert renew(shared, "sandbox/c", "run-1").status_code == 404


def test_an_expired_lock_that_nobody_took_is_still_renewed(shared: Service) -> None:
    take(shared, "sandbox/d", "run-1", 0.1)
    waiting.until(lambda: shared.call("GET", f"{LOCKS}/sandbox/d").json()["expires_in_s"] < 0, "the lock expires")
    assert renew(shared, "sandbox/d", "run-1").status_code == 200
    assert take(shared, "sandbox/d", "run-2").status_code == 409


def test_of_many_takers_exactly_one_wins(shared: Service) -> None:
    start = threading.Barrier(8)

    def contend(number: int) -> int:
        start.wait()
        return take(shared, "sandbox/e", f"run-{number}").status_code

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(contend, range(8))) == [200] + [409] * 7


def test_a_lock_outlives_the_service(service: Service) -> None:
    take(service, "sandbox/f", "run-1", 600)
    service.kill()
    service.start()
    assert take(service, "sandbox/f", "run-2").status_code == 409
    assert renew(service, "sandbox/f", "run-1").status_code == 200
