"""Copies of published files: there for a month after the file was replaced, however old it was, and not for ever.

The rule is the one of the committed buckets, carried out by the object store as of a moment that the test names.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
import yaml

from reconcilers.core.model import Resource
from reconcilers.providers.buckets.api import bucket_path
from reconcilers.providers.buckets.provider import COPIES
from tests.buckets.test_conformance import BASE, SITEINFO, BucketsHarness, bucket, published
from tests.conformance import suite
from tests.fleets import CHECKOUT

NAME = "v2/a.json"

pytestmark = pytest.mark.xdist_group("buckets-copies")


def rules(stem: str) -> list[Any]:
    found: list[Any] = yaml.safe_load((CHECKOUT / f"config/buckets/{stem}.yaml").read_text())["lifecycle"]
    return found


def wanted(stem: str, content: str | None) -> tuple[Resource, ...]:
    home = bucket(SITEINFO, versioning={"enabled": True}, lifecycle={"rule": rules(stem)})
    return (*BASE[:2], home, *(() if content is None else (published(NAME, content),)))


def names(harness: BucketsHarness) -> list[str]:
    return sorted(item["name"].rpartition("/")[2] for item in copies(harness))


def copies(harness: BucketsHarness, versions: str = "false") -> list[Any]:
    return list(harness.api.pages(f"{bucket_path(SITEINFO)}/o", {"prefix": COPIES, "versions": versions}))


def contents(harness: BucketsHarness) -> set[str]:
    return {harness.api.download(SITEINFO, item).decode() for item in copies(harness)}


def days_pass(harness: BucketsHarness, days: float) -> None:
    """As if the rules were carried out after so many days; twice, since a deletion keeps a version for one more."""
    at = (datetime.now(UTC) + timedelta(days=days)).isoformat()
    for _ in range(2):
        requests.post(f"{harness.url}/_control/lifecycle", json={"at": at}, timeout=30).raise_for_status()


@pytest.fixture
def harness(url: str) -> BucketsHarness:
    return BucketsHarness(url)


@pytest.mark.parametrize("stem", ["siteinfo", "operator"])
def test_the_copy_of_a_replaced_file_outlives_it_by_a_month_and_no_longer(harness: BucketsHarness, stem: str) -> None:
    suite.applied(harness, wanted(stem, "one\n"))
    assert contents(harness) == {"one\n"}
    days_pass(harness, 31)
    assert copies(harness, "true") == []
    live = suite.plan(harness.provider(), wanted(stem, "one\n"))
    assert live.changes == (), "the file itself stays, whatever its age"

    suite.applied(harness, wanted(stem, "two\n"))
    assert contents(harness) == {"one\n", "two\n"}
    days_pass(harness, 29)
    assert contents(harness) == {"one\n", "two\n"}
    days_pass(harness, 31)
    assert copies(harness, "true") == []
    assert suite.plan(harness.provider(), wanted(stem, "two\n")).changes == ()

    suite.applied(harness, wanted(stem, None))
    assert contents(harness) == {"two\n"}


def test_content_that_comes_back_is_kept_once_each(harness: BucketsHarness) -> None:
    for content in ("one\n", "two\n", "one\n"):
        suite.applied(harness, wanted("siteinfo", content))
    assert contents(harness) == {"one\n", "two\n"} and names(harness) == ["a.json", "a.json"]
