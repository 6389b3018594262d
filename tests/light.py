"""The small fleet on a real object store, ePoxy and DNS, for tests of the command line that need no cluster.

One platform a test run, shared by the folders that use it (all in one xdist group): what a test changes is put back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests

from reconcilers.load import format as formatting
from tests import fleets
from tests.e2e.checkout import Checkout, repository

ENVIRONMENTS = ("sandbox", "staging", "production")
GROUP = pytest.mark.xdist_group("light")


class Light:
    """The checkout, and its servers as somebody else reaches them."""

    def __init__(self, checkout: Checkout) -> None:
        self.checkout = checkout
        overlay = json.loads((checkout.state / "platform" / "platform.json").read_text())
        self._targets = {env: overlay["environments"][env]["targets"] for env in ENVIRONMENTS}

    def host(self, method: str, env: str, name: str, **more: Any) -> requests.Response:
        """One record of ePoxy, by its admin API."""
        where = self._targets[env]["epoxy"]
        token = Path(where["token"]["secretRef"].removeprefix("file:")).read_text().strip()
        headers = {"Authorization": f"Bearer {token}", **more.pop("headers", {})}
        verify: Any = where.get("ca_file") or True
        with requests.Session() as session:
            session.trust_env = False
            url = f"{where['url']}/v1/hosts/{name}"
            return session.request(method, url, headers=headers, verify=verify, timeout=30, **more)

    def record(self, env: str, name: str) -> dict[str, Any]:
        """The administrator's half of a record."""
        found: dict[str, Any] = self.host("GET", env, name).json()["desired"]
        return found

    def etag(self, env: str, name: str) -> str:
        """The version of a record, as a precondition."""
        return self.host("GET", env, name).headers["ETag"]

    def store(self, method: str, env: str, path: str, **more: Any) -> requests.Response:
        """A call of the object store, by its path."""
        with requests.Session() as session:
            session.trust_env = False
            return session.request(method, self._targets[env]["buckets"]["endpoint"] + path, timeout=30, **more)

    def object(self, method: str, env: str, bucket: str, name: str, **more: Any) -> requests.Response:
        """One object of the store, by its JSON API; without a name, the list."""
        path = f"/storage/v1/b/{bucket}/o" + (f"/{quote(name, safe='')}" if name else "")
        return self.store(method, env, path, **more)


def write_root(root: Path) -> Path:
    """The small fleet in the form; the targets that need a build are paused in git; promotions from left to right."""
    fleets.write_fleet(root)
    for env, after in zip(ENVIRONMENTS, ("null", *ENVIRONMENTS), strict=False):
        path = root / f"config/environments/{env}.yaml"
        text = re.sub(r"(kubernetes|monitoring): apply", r"\1: paused", path.read_text())
        path.write_text(text.replace("lock_ttl_s", f"promotion: {{after: {after}}}\nlock_ttl_s"))
    formatting.format_tree(root, write=True)
    return root


@pytest.fixture(scope="session")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Light]:
    """Everything applied to all environments."""
    base = tmp_path_factory.mktemp("light")
    root = write_root(base / "fleet")
    repository(root)
    checkout = Checkout(root, base / "state")
    up = checkout.mlab("up", "--light")
    assert up.status == 0, up.err
    inside = replace(checkout, inside=True)
    try:
        for env in ENVIRONMENTS:
            done = inside.apply(env)
            assert done.status == 0, done.out + done.err
        yield Light(inside)
    finally:
        assert checkout.mlab("down").status == 0


@pytest.fixture
def light(applied: Light) -> Iterator[Light]:
    """The same for tests that change it: their commits are taken back, and what is then open is applied again."""
    head = applied.checkout.git("rev-parse", "HEAD").strip()
    yield applied
    applied.checkout.git("reset", "-q", "--hard", head)
    applied.checkout.git("clean", "-qfd")
    restore(applied)


def restore(applied: Light) -> None:
    """Every environment as the checkout says, and on record so."""
    done = applied.checkout.mlab("plan", "--json", "-q")
    head = applied.checkout.git("rev-parse", "HEAD").strip()
    status = json.loads(applied.checkout.mlab("status", "--json").out)
    moved = {entry["env"] for entry in status if entry["applied"]["commit"] != head}
    if done.status == 0 and not moved:
        return
    for plan in json.loads(done.out)["environments"]:
        if any(change["action"] == "adopt" for scope in plan["scopes"] for change in scope["changes"]):
            adopted = applied.checkout.mlab("adopt", "--env", plan["env"], "*/*/*", "--yes")
            assert adopted.status == 0, adopted.out + adopted.err
        if plan["env"] in moved or any(scope["changes"] for scope in plan["scopes"]):
            again = applied.checkout.apply(plan["env"])
            assert again.status == 0, again.out + again.err
