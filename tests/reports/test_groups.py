"""Very many changes as lines that a person can read: by file, with sums that add up."""

from __future__ import annotations

import re

import pytest

from reconcilers.core.model import Action, Cause, Change, Field, Id, Observed, Owner, Plan, Resource, Risk, Span
from reconcilers.report import groups, markdown, text
from reconcilers.report.run import RunPlan

SCOPE = "staging/dns"


def change(action: Action, kind: str, name: str, file: str, **more: object) -> Change:
    identity = Id(kind, f"z.test/{name}")
    wanted = None if action is Action.DELETE else Resource(identity, {"ttl": 600}, Span(file, 3))
    owner = Owner("mlab", "staging", SCOPE, file)
    live = None if action is Action.CREATE else Observed(identity, {"ttl": 300}, owner)
    fields = (Field(("ttl",), 300 if live else None, 600 if wanted else None),)
    risk = Risk.DESTRUCTIVE if action is Action.DELETE else Risk.SAFE
    made = Change(action, identity, wanted, live, fields, risk, Cause.CONFIG, "changed since 3f2c1ab", Span(file, 3))
    for key, value in more.items():
        object.__setattr__(made, key, value)
    return made


def zone(action: Action, sites: int, **more: object) -> list[Change]:
    return [
        change(action, kind, f"h{n}-site{s:02}", f"config/sites/site{s:02}.yaml", **more)
        for s in range(sites)
        for kind in ("A", "AAAA")
        for n in range(5)
    ]


def lines(*changes: Change, verbose: bool = False) -> list[str]:
    return list(text.changes(tuple(changes), verbose=verbose))


def counted(shown: list[str], kind: str) -> int:
    return sum(int(n) for line in shown for n in re.findall(rf"(\d+) {kind}\b", line))


@pytest.mark.parametrize("action", [Action.CREATE, Action.UPDATE, Action.DELETE])
def test_the_sums_are_those_of_the_plan(action: Action) -> None:
    shown = lines(*zone(action, 40))
    assert counted(shown, "A") == counted(shown, "AAAA") == 200
    assert len(shown) <= 2 * groups.FILES + 1


def test_as_many_as_fit_on_a_screen_are_listed_one_by_one() -> None:
    few = zone(Action.DELETE, 3)[: groups.MANY]
    assert len(few) == groups.MANY
    assert len([line for line in lines(*few) if line.startswith("  - A")]) == groups.MANY
    more = [*few, change(Action.DELETE, "A", "x", "config/zones/z.yaml")]
    assert "  - 5 A, 5 AAAA   config/sites/site00.yaml   destructive   config: changed since 3f2c1ab" in lines(*more)


def test_verbose_lists_everything() -> None:
    many = zone(Action.UPDATE, 40)
    assert sum(line.startswith("  ~ ") for line in lines(*many, verbose=True)) == len(many)


def test_a_change_that_is_the_same_everywhere_is_shown_once_and_another_as_an_example() -> None:
    shown = lines(*zone(Action.UPDATE, 10))
    assert shown[:2] == [
        "  ~ 5 A, 5 AAAA   config/sites/site00.yaml   safe   config: changed since 3f2c1ab",
        "      ttl  300 -> 600",
    ]
    several = zone(Action.UPDATE, 10)
    object.__setattr__(several[1], "fields", (Field(("ttl",), 301, 600),))
    assert "      for example z.test/h0-site00:" in lines(*several)


def test_what_is_blocked_is_summed_up_apart_with_its_reason() -> None:
    many = [*zone(Action.ADOPT, 20), *zone(Action.ADOPT, 20, blocked="it exists without our mark")]
    shown = lines(*many)
    assert "      blocked: it exists without our mark" in shown
    assert counted(shown, "A") == 200


def test_markdown_of_a_whole_zone_fits_and_names_the_files() -> None:
    changes = zone(Action.CREATE, 300) + zone(Action.DELETE, 30)
    plan = Plan(SCOPE, tuple(changes), 0, {"A": 1650, "AAAA": 1650})
    made = markdown.plan(RunPlan("r", "staging", "mlab-staging", "c", "b", (plan,)))
    assert len(made) <= markdown.BUDGET
    assert "`- ` " not in made and "`staging/dns: 5 A, 5 AAAA` · `config/sites/site00.yaml` · destructive" in made
    assert "more files" in made and "<details>" in made
