"""Edits in git, and edits behind git's back."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests

from tests.e2e.checkout import Checkout

HOST = "mlab1-lga1t.mlab-sandbox.measurement-lab.test"


def release(checkout: Checkout, version: str) -> str:
    """Commit another boot release: every host changes; the full name of the commit."""
    path = checkout.root / "config" / "environments" / "sandbox.yaml"
    path.write_text(re.sub(r"images_version: \S+", f"images_version: {version}", path.read_text()))
    checkout.commit(f"Boot {version}")
    return head(checkout)


def head(checkout: Checkout) -> str:
    """The full name of what is checked out."""
    return checkout.git("rev-parse", "HEAD").strip()


def targets(checkout: Checkout) -> Mapping[str, Any]:
    """Where sandbox's targets are."""
    document = json.loads((checkout.state / "platform" / "platform.json").read_text())
    found: Mapping[str, Any] = document["environments"]["sandbox"]["targets"]
    return found


class Registry:
    """ePoxy's administration, as a person with the token uses it."""

    def __init__(self, checkout: Checkout) -> None:
        where = targets(checkout)["epoxy"]
        self._url = where["url"].rstrip("/")
        token = where["token"]["secretRef"].removeprefix("file:")
        self._headers = {"Authorization": f"Bearer {Path(token).read_text().strip()}"}

    def host(self, name: str = HOST) -> requests.Response:
        """The record."""
        return requests.get(f"{self._url}/v1/hosts/{name}", headers=self._headers, timeout=60)

    def release(self, name: str = HOST) -> str:
        """The boot release that the record names."""
        found: str = self.host(name).json()["desired"]["ImagesVersion"]
        return found

    def revision(self, name: str = HOST) -> int:
        """How often the desired half of the record was written."""
        return int(self.host(name).headers["ETag"].strip('"'))

    def delete(self, name: str = HOST) -> None:
        """Remove the record, whoever owns it."""
        revision = self.host(name).headers["ETag"]
        headers = {**self._headers, "If-Match": revision}
        answer = requests.delete(f"{self._url}/v1/hosts/{name}", headers=headers, timeout=60)
        assert answer.ok, answer.text


def edit_bucket(checkout: Checkout) -> None:
    """Switch something on by hand that git wants off."""
    url = targets(checkout)["buckets"]["endpoint"]
    answer = requests.patch(
        f"{url}/storage/v1/b/siteinfo-mlab-sandbox", json={"labels": {"edited": "by-hand"}}, timeout=10
    )
    assert answer.ok, answer.text


def mend_bucket(checkout: Checkout) -> None:
    """Undo it."""
    url = targets(checkout)["buckets"]["endpoint"]
    answer = requests.patch(f"{url}/storage/v1/b/siteinfo-mlab-sandbox", json={"labels": {"edited": None}}, timeout=60)
    assert answer.ok, answer.text
