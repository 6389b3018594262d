"""Releases of boot images: an environment boots one that is pinned for it, and no file is pinned twice."""

from __future__ import annotations

from typing import Any

import pytest

from reconcilers.fleet.rules.rule import Absent
from tests import fleet_values as values
from tests.rules.subjects import entity, fleet, problems

DIGEST = "sha256:" + "a" * 64
PINS = {"manifest.json": DIGEST, "manifest.json.sig": DIGEST}


def subject(boots: str, *versions: str, built: str | None = "2026-11-25", own: Any = None) -> Any:
    release = {"built": built, "files": {"kernel": DIGEST}, "environments": {"sandbox": own or PINS}}
    image = entity("images", "stage3_ubuntu", type="boot", releases=dict.fromkeys(versions, release))
    environments = {"sandbox": values.environment("sandbox", data={"images_version": boots})}
    return fleet(images={"stage3_ubuntu": image}, environments=environments)


@pytest.mark.parametrize(
    ("boots", "versions", "built", "count"),
    [
        ("v2.1.10", ("v2.1.10", "v2.1.9"), "2026-11-25", 0),
        ("v2.1.11", ("v2.1.10", "v2.1.9"), "2026-11-25", 1),
        ("v2.1.11", ("v2.1.10",), None, 0),
        ("v2.1.11", (), None, 0),
    ],
)
def test_an_environment_boots_a_release_that_is_pinned_for_it(
    boots: str, versions: tuple[str, ...], built: str | None, count: int
) -> None:
    found = problems("M03", subject(boots, *versions, built=built))
    assert len(found) == count
    assert all("pins v2.1.10, v2.1.9" in message for message in found)
    assert problems("M03", subject(boots, *versions), Absent({"images": frozenset({"x"})})) == []


def test_a_file_belongs_to_every_environment_or_to_one() -> None:
    (message,) = problems("M03", subject("v2.1.10", "v2.1.10", own={**PINS, "kernel": DIGEST}))
    assert message == "kernel of v2.1.10 is pinned for sandbox and for every environment; keep one of them"
