"""A problem as JSON, as an annotation and as a snippet; rules explained."""

from __future__ import annotations

import dataclasses
from datetime import date
from pathlib import Path

import pytest

from reconcilers.cli.main import main
from reconcilers.core.errors import UsageError
from reconcilers.core.model import Diagnostic, Span
from reconcilers.fleet.past import Past, Tenure, Times
from reconcilers.load import explain, present
from reconcilers.load import fleet as loading
from tests import fleets


def overlap(root: Path) -> Diagnostic:
    fleets.write_fleet(root)
    fleets.edit(root, "config/sites/lga1t.yaml", "198.18.1.176/28", "198.18.0.16/28")
    (problem,) = loading.load(root).problems
    return problem


def test_the_line_has_place_code_name_and_message(tmp_path: Path) -> None:
    assert overlap(tmp_path).line() == (
        "config/sites/lga1t.yaml:12:18: S02 site.prefix-overlap: 198.18.0.16/28 overlaps lga05 (198.18.0.0/26); "
        "give one of them another prefix"
    )


def test_the_json_form_has_a_range_and_related_places(tmp_path: Path) -> None:
    assert present.as_json(overlap(tmp_path)) == {
        "severity": "error",
        "id": "site.prefix-overlap",
        "code": "S02",
        "message": "198.18.0.16/28 overlaps lga05 (198.18.0.0/26); give one of them another prefix",
        "file": "config/sites/lga1t.yaml",
        "range": {"start": {"line": 12, "column": 18}, "end": {"line": 12, "column": 32}},
        "related": [
            {"file": "config/sites/lga05.yaml", "line": 12, "column": 18, "message": "lga05 has 198.18.0.0/26"}
        ],
        "hint": "free near it: 198.18.0.64/28, 198.18.0.80/28, 198.18.0.96/28",
        "error_from": None,
    }


def test_the_snippet_underlines_the_value_and_names_the_remedy(tmp_path: Path) -> None:
    assert present.snippet(overlap(tmp_path), tmp_path) == [
        "  12 |   ipv4: {prefix: 198.18.0.16/28}",
        "     |                  ^^^^^^^^^^^^^^",
        "  also: config/sites/lga05.yaml:12:18: lga05 has 198.18.0.0/26",
        "  fix: free near it: 198.18.0.64/28, 198.18.0.80/28, 198.18.0.96/28",
        "  see: mlab explain site.prefix-overlap",
    ]


def test_an_annotation_cannot_be_broken_by_what_it_quotes() -> None:
    problem = Diagnostic("S02", "site.x", "a\n::warning::b 100%", Span("config/a,b:c.yaml", 3, 4), hint="h")
    assert present.annotation(problem) == (
        "::error file=config/a%2Cb%3Ac.yaml,line=3,col=4,title=S02 site.x::a%0A::warning::b 100%25 (h)"
    )


def test_a_warning_says_in_each_form_from_which_day_it_is_an_error() -> None:
    problem = Diagnostic("S02", "site.x", "m", Span("a.yaml", 3, 4), severity="warning", error_from=date(2027, 1, 1))
    assert problem.line() == "a.yaml:3:4: warning: S02 site.x: m (an error from 2027-01-01)"
    assert present.as_json(problem)["error_from"] == "2027-01-01"
    title = "title=S02 site.x"
    assert present.annotation(problem) == f"::warning file=a.yaml,line=3,col=4,{title}::m (an error from 2027-01-01)"
    note = dataclasses.replace(problem, severity="note", error_from=None)
    assert present.annotation(note) == f"::notice file=a.yaml,line=3,col=4,{title}::m"


@pytest.mark.parametrize("content", [b"", b"x" * 400, b"\xff\xfe\x00", None])
def test_a_snippet_of_a_file_that_moved_or_is_rubbish_does_not_fail(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "a.yaml").write_bytes(content)
    problem = Diagnostic("Y01", "yaml.encoding", "m", Span("a.yaml", 1, 300))
    assert all(line.isprintable() and len(line) < 200 for line in present.snippet(problem, tmp_path))


@pytest.mark.parametrize("word", ["S02", "s02", "site.prefix-overlap", " S02 "])
def test_a_rule_is_explained_by_code_or_name(word: str, tmp_path: Path) -> None:
    fleet = loading.load(fleets.write_fleet(tmp_path)).require()
    found = explain.explain(word, fleet)
    assert found.code == "S02"
    assert "free IPv4 /26: 198.18.0.64/26, 198.18.0.128/26, 198.18.0.192/26" in found.text()
    assert found.as_json()["id"] == "site.prefix-overlap"


def test_the_free_indexes_are_named(tmp_path: Path) -> None:
    fleet = loading.load(fleets.write_fleet(tmp_path)).require()
    assert explain.explain("E01", fleet).remedies == ("free indexes: 1, 3, 4, 6, 7, 8, 9, 10, 11, 12",)


def test_an_unknown_rule_is_refused_with_what_is_near() -> None:
    with pytest.raises(UsageError, match=r"did you mean site\.prefix-overlap"):
        explain.explain("site.prefx-overlap")


def test_the_page_of_rules_is_in_step_with_them(tmp_path: Path) -> None:
    page = tmp_path / "rules.md"
    assert main(["explain", "--page", str(page)]) == 0
    committed = fleets.CHECKOUT / "docs/rules.md"
    assert page.read_text() == committed.read_text(), "run `make fmt`"
    for item in explain.known():
        assert f"### {item.code} {item.name}\n" in page.read_text()


def test_free_indexes_are_those_that_do_not_rest(tmp_path: Path) -> None:
    fleet = loading.load(fleets.write_fleet(tmp_path)).fleet
    past = Past(
        tenures=(Tenure("old", 4, date(2020, 1, 1), date(2026, 9, 1)), Tenure("old", 3, date(2020, 1, 1), None))
    )
    times = Times(date(2026, 11, 29), past)
    found = explain.explain("E01", fleet, times).remedies
    assert found == ("free indexes: 1, 3, 6, 7, 8, 9, 10, 11, 12", "index 4 rests until 2026-11-30")
    assert (
        explain.explain("E01", fleet, Times(date(2026, 11, 30), past)).remedies[0].startswith("free indexes: 1, 3, 4")
    )


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("S01", "No file may break this rule."),
        ("S02", "allow: [{rule: S02, reason: …}]"),
        ("S14", "asks git's history"),
        ("A03", "a warning until 2027-01-01"),
    ],
)
def test_an_explanation_says_how_binding_the_rule_is(rule: str, words: str) -> None:
    found = explain.explain(rule)
    assert words in found.text() and any(words in fact for fact in found.as_json()["facts"])


def test_every_code_can_be_explained_and_is_unique() -> None:
    known = list(explain.known())
    assert len({item.code for item in known}) == len({item.name for item in known}) == len(known)
    assert all(explain.explain(item.code).text().startswith(f"{item.code} {item.name}: ") for item in known)
