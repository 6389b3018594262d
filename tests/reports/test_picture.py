"""The picture on the page about CI is made of what a comment says today."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from reconcilers.report import markdown
from tests import golden
from tests.reports.picture import svg
from tests.reports.plans import sample

PAGE = Path(__file__).parents[2] / "docs" / "ci.md"


def test_the_picture_is_a_comment_of_today() -> None:
    drawn = svg(markdown.plan(sample()))
    text = "".join(ElementTree.fromstring(drawn).itertext())
    assert "Blocked or destructive" in text and "staging/kubernetes (not observed)" in text and "mlab-plan" not in text
    golden.check(PAGE.with_name("pull-request-comment.svg"), drawn)
    assert "(pull-request-comment.svg)" in PAGE.read_text()
