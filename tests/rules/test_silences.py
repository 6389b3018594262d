"""A file may break a rule if it says why; what it says must be true, and some rules nobody may break."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from reconcilers.core.model import Diagnostic
from reconcilers.fleet import rules
from reconcilers.fleet.rules.rule import Rule
from reconcilers.load import fleet as loading
from tests import fleets

SITE = "config/sites/lga05.yaml"
TEST_SITE = "config/sites/lga1t.yaml"
PRIVATE = ("198.18.0.0/26", "10.0.0.0/26")
ELSEWHERE = ("city: New York", "city: Newark")
BELOW_MACHINES = "  mlab4: {model: r640}\n"


def allowing(root: Path, rule: str, file: str = SITE, reason: str = "a laboratory of its own") -> None:
    path = root / file
    path.write_text(f"{path.read_text()}allow:\n  - {{rule: {rule}, reason: {reason}}}\n")


def found(root: Path, **options: object) -> list[tuple[str, str]]:
    problems: tuple[Diagnostic, ...] = loading.load(root, **options).problems  # type: ignore[arg-type]
    return [(problem.code, f"{problem.span}") for problem in problems]


@pytest.mark.parametrize("name", ["S04", "site.prefix-global"])
def test_a_rule_is_allowed_by_code_or_by_name(name: str, tmp_path: Path) -> None:
    root = fleets.write_fleet(tmp_path)
    fleets.edit(root, SITE, *PRIVATE)
    assert found(root) == [("S04", f"{SITE}:12:18")]
    allowing(root, name)
    assert found(root) == []
    assert "lga05" in loading.load(root).fleet.sites


def test_a_rule_between_files_is_allowed_where_its_problem_is_shown(tmp_path: Path) -> None:
    root = fleets.write_fleet(tmp_path)
    fleets.edit(root, TEST_SITE, *ELSEWHERE)
    assert found(root) == [("S08", f"{TEST_SITE}:9:30")]
    allowing(root, "S08", SITE)
    assert found(root) == [("W01", f"{SITE}:21:5"), ("S08", f"{TEST_SITE}:9:30")]
    fleets.edit(root, SITE, "allow:\n  - {rule: S08, reason: a laboratory of its own}\n", "")
    allowing(root, "S08", TEST_SITE)
    assert found(root) == []


def test_a_silence_covers_its_own_rule_only(tmp_path: Path) -> None:
    root = fleets.write_fleet(tmp_path)
    fleets.edit(root, SITE, *PRIVATE)
    fleets.edit(root, TEST_SITE, *ELSEWHERE)
    allowing(root, "S04")
    assert found(root) == [("S08", f"{TEST_SITE}:9:30")]


@pytest.mark.parametrize("rule", ["S04", "S08", "A01"])
def test_a_silence_that_silences_nothing_is_an_error(rule: str, tmp_path: Path) -> None:
    root = fleets.write_fleet(tmp_path)
    allowing(root, rule)
    assert found(root) == [("W01", f"{SITE}:21:5")]


@pytest.mark.parametrize(("rule", "count"), [("S04", 1), ("S08", 0)])
def test_of_single_files_only_rules_over_single_files_are_called_unused(rule: str, count: int, tmp_path: Path) -> None:
    root = fleets.write_fleet(tmp_path)
    allowing(root, rule)
    assert len(found(root, only=[Path(SITE)])) == count


def test_no_silence_is_called_unused_while_another_file_has_errors(tmp_path: Path) -> None:
    root = fleets.write_fleet(tmp_path)
    allowing(root, "S08")
    (root / TEST_SITE).write_text("kind: [")
    assert [code for code, _ in found(root)] == ["Y02"]


@pytest.mark.parametrize(
    ("rule", "code"), [("S99", "W02"), ("site.nonsense", "W02"), ("S01", "W02"), ("W01", "W02"), ("C01", "W02")]
)
def test_only_rules_of_the_fleet_can_be_allowed(rule: str, code: str, tmp_path: Path) -> None:
    root = fleets.write_fleet(tmp_path)
    allowing(root, rule)
    assert found(root) == [(code, f"{SITE}:21:5")]


def test_the_same_rule_twice_is_one_too_many(tmp_path: Path) -> None:
    root = fleets.write_fleet(tmp_path)
    fleets.edit(root, SITE, *PRIVATE)
    allowing(root, "S04")
    fleets.edit(root, SITE, "allow:\n", "allow:\n  - {rule: site.prefix-global, reason: another reason}\n")
    assert found(root) == [("W01", f"{SITE}:22:5")]


@pytest.mark.parametrize("reason", ["short", '""', '"          "'])
def test_a_silence_without_a_real_reason_is_refused(reason: str, tmp_path: Path) -> None:
    root = fleets.write_fleet(tmp_path)
    allowing(root, "S04", reason=reason)
    assert [code for code, _ in found(root)] in (["C04"], ["C05"], ["C05", "C04"])


@pytest.mark.parametrize("path", sorted(path for path in fleets.FILES if "/acks/" not in path))
def test_files_of_every_kind_can_allow(path: str, tmp_path: Path) -> None:
    root = fleets.write_fleet(tmp_path)
    allowing(root, "S08", path)
    assert [code for code, _ in found(root)] == ["W01"]


@pytest.fixture
def young(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, date], None]:
    """Lets a rule begin on a day, as a new one does."""

    def begin(code: str, day: date) -> None:
        changed: tuple[Rule, ...] = tuple(
            dataclasses.replace(rule, error_from=day) if rule.code == code else rule for rule in rules.ALL
        )
        monkeypatch.setattr(rules, "ALL", changed)

    return begin


@pytest.mark.parametrize(("today", "errors"), [(date(2026, 12, 31), 0), (date(2027, 1, 1), 1), (date(2027, 1, 2), 1)])
@pytest.mark.parametrize(("code", "file", "edit"), [("S04", SITE, PRIVATE), ("S08", TEST_SITE, ELSEWHERE)])
def test_a_new_rule_warns_until_its_day(
    young: Callable[[str, date], None],
    code: str,
    file: str,
    edit: tuple[str, str],
    today: date,
    errors: int,
    tmp_path: Path,
) -> None:
    young(code, date(2027, 1, 1))
    root = fleets.write_fleet(tmp_path)
    fleets.edit(root, file, *edit)
    loaded = loading.load(root, today=today)
    assert ([problem.code for problem in loaded.problems], [problem.code for problem in loaded.warnings]) == (
        [code] * errors,
        [code] * (1 - errors),
    )
    for problem in loaded.warnings:
        assert problem.error_from == date(2027, 1, 1)
        assert f": warning: {code} " in problem.line() and problem.line().endswith(" (an error from 2027-01-01)")
        assert Path(file).stem in loaded.fleet.sites, "a warning must not take an object out of the fleet"
