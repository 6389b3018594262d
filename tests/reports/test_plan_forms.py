"""One plan in each of its forms: text, Markdown, JSON; and what none of them may show."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import jsonschema_rs
import pytest

from reconcilers.core.errors import UsageError
from reconcilers.core.model import Plan
from reconcilers.report import markdown, text
from reconcilers.report.run import as_json, read_approval
from tests import golden
from tests.reports.plans import EPOXY, sample

HERE = Path(__file__).parent
SCHEMA = Path(__file__).parents[2] / "schemas" / "plan.schema.json"


def test_the_text_is_as_reviewed() -> None:
    golden.check(HERE / "golden" / "plan.txt", "\n".join(text.plan(sample())) + "\n")


def test_the_verbose_text_is_as_reviewed() -> None:
    golden.check(HERE / "golden" / "plan-verbose.txt", "\n".join(text.plan(sample(), verbose=True)) + "\n")


def test_the_markdown_is_as_reviewed() -> None:
    golden.check(HERE / "golden" / "plan.md", markdown.plan(sample()) + "\n")


def test_the_json_is_as_reviewed_and_fits_its_schema() -> None:
    document = as_json(sample())
    jsonschema_rs.validator_for(json.loads(SCHEMA.read_text())).validate(document)
    golden.check(HERE / "golden" / "plan.json", json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def test_no_form_shows_a_sensitive_value() -> None:
    made = sample()
    forms = ["\n".join(text.plan(made, verbose=True)), markdown.plan(made), json.dumps(as_json(made))]
    assert not [form for form in forms if "canary" in form]


def test_an_empty_plan_says_so_in_every_form() -> None:
    made = replace(sample(), plans=(Plan(EPOXY, unchanged=3, population={"Host": 3}),), warnings=())
    assert "0 to create, 0 to update, 0 to delete, 3 unchanged. Nothing blocked." in "\n".join(text.plan(made))
    assert "0 to create" in markdown.plan(made)
    assert as_json(made)["counts"]["unchanged"] == 3


@pytest.mark.parametrize("copies", [1, 40, 400])
def test_a_comment_stays_below_the_limit_whatever_the_plan(copies: int) -> None:
    plan = sample().plans[0]
    wide = replace(plan, changes=tuple(replace(c, reason="é" * 200) for c in plan.changes * copies))
    body = markdown.plan(replace(sample(), plans=(wide,)))
    assert len(body) <= markdown.BUDGET
    assert body.startswith("<!-- mlab-plan:staging -->") and "exceeds the limit" in body


def test_two_runs_of_the_same_state_differ_in_the_run_only() -> None:
    one, other = as_json(sample()), as_json(replace(sample(), run="2026-03-01T11:00:00Z-000000"))
    assert one.pop("run") != other.pop("run")
    assert one == other


def test_an_approval_is_read_back_from_a_kept_plan(tmp_path: Path) -> None:
    kept = tmp_path / "plan.json"
    kept.write_text(json.dumps(as_json(sample())))
    approved = read_approval(kept, "staging")
    assert len(approved[EPOXY]) == len(sample().plans[0].changes)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", "null", '{"env": "production", "v": 1}', '{"env": "staging", "v": 9}']
)
def test_what_is_no_plan_of_the_environment_is_refused_in_one_line(tmp_path: Path, content: str) -> None:
    kept = tmp_path / "plan.json"
    kept.write_text(content)
    with pytest.raises(UsageError) as caught:
        read_approval(kept, "staging")
    assert str(kept) in str(caught.value) and "\n" not in str(caught.value)
