"""How risky a change of a host record is, and what a plan shows of it."""

from __future__ import annotations

from typing import Any

import pytest

from reconcilers.core import plan
from reconcilers.core.model import Action, Id, Observed, Owner, Resource, Risk, Span
from reconcilers.providers.epoxy import provider as epoxy
from tests import epoxy_service

PROVIDER = epoxy.Epoxy("sandbox/epoxy", "https://epoxy.test/admin", "env:NOT_READ_HERE")
RULES = plan.Rules(PROVIDER.normalise, PROVIDER.assess)
HOST = Id("Host", epoxy_service.name())
OTHER_URLS = {key: url.replace("storage", "mirror") for key, url in epoxy_service.spec()["Boot"].items()}


def desired(**changes: Any) -> Resource:
    return Resource(HOST, epoxy_service.spec(**changes), Span("config/sites/lga05.yaml", 3))


def observed(**changes: Any) -> Observed:
    spec = {**epoxy_service.spec(), "Protect": False, **changes}
    return Observed(HOST, spec, Owner("mlab", "sandbox", "sandbox/epoxy"), protect=spec["Protect"], token='"1"')


@pytest.mark.parametrize(
    ("change", "risk", "reason"),
    [
        ({"IPv4Addr": "198.18.5.12"}, Risk.DISRUPTIVE, "next boot"),
        ({"Boot": OTHER_URLS}, Risk.DISRUPTIVE, "next boot"),
        ({"Update": OTHER_URLS}, Risk.DISRUPTIVE, "next boot"),
        ({"ImagesVersion": "v3"}, Risk.DISRUPTIVE, "next boot"),
        ({"Extensions": []}, Risk.DISRUPTIVE, "next boot"),
        ({"Retired": True}, Risk.DESTRUCTIVE, "no boot"),
    ],
)
def test_what_changes_a_boot_is_disruptive(change: dict[str, Any], risk: Risk, reason: str) -> None:
    made = plan.one(PROVIDER.scope, desired(**change), observed(), RULES)
    assert made is not None
    assert (made.action, made.risk) == (Action.UPDATE, risk)
    assert reason in made.reason


def test_creating_and_bringing_back_are_safe() -> None:
    created = plan.one(PROVIDER.scope, desired(), None, RULES)
    back = plan.one(PROVIDER.scope, desired(), observed(Retired=True), RULES)
    assert created is not None and back is not None
    assert (created.risk, back.risk) == (Risk.SAFE, Risk.SAFE)


@pytest.mark.parametrize(("retired", "said"), [(False, "not retired"), (True, "")])
def test_a_deletion_is_destructive_and_says_if_the_host_was_not_retired_first(retired: bool, said: str) -> None:
    made = plan.one(PROVIDER.scope, None, observed(Retired=retired), RULES)
    assert made is not None
    assert (made.action, made.risk, made.blocked) == (Action.DELETE, Risk.DESTRUCTIVE, None)
    assert said in made.reason and bool(made.reason) == bool(said)


def test_a_protected_host_is_not_deleted() -> None:
    made = plan.one(PROVIDER.scope, None, observed(Protect=True), RULES)
    assert made is not None and made.blocked


def test_a_protection_that_git_adds_or_drops_is_planned() -> None:
    added = plan.one(PROVIDER.scope, Resource(HOST, epoxy_service.spec(), Span("x"), protect=True), observed(), RULES)
    dropped = plan.one(PROVIDER.scope, desired(), observed(Protect=True), RULES)
    assert added is not None and dropped is not None
    assert [f.path for f in (*added.fields, *dropped.fields)] == [("Protect",), ("Protect",)]


def test_the_same_record_is_no_change() -> None:
    assert plan.one(PROVIDER.scope, desired(), observed(), RULES) is None
