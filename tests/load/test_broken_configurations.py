"""Every way to break a file that we could think of, each with its one line: place, code, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconcilers.load import fleet
from tests import fleets
from tests.load.breaking import Case
from tests.load.broken_files import ENCODED, FOUND
from tests.load.broken_fleets import RULES
from tests.load.broken_objects import SCHEMA
from tests.load.broken_yaml import SCALARS, SYNTAX

CASES = [*FOUND, *ENCODED, *SYNTAX, *SCALARS, *SCHEMA, *RULES]


@pytest.mark.parametrize("broken", CASES, ids=lambda broken: broken.name)
def test_a_broken_configuration_gives_its_lines_and_no_others(broken: Case, tmp_path: Path) -> None:
    root = fleets.write_fleet(tmp_path)
    broken.breaks(root)
    problems = fleet.validate(root)
    lines = [problem.line() for problem in problems]
    assert [line.split(" ")[0:2] for line in lines] == [[f"{where}:", code] for where, code, _ in broken.problems], (
        lines
    )
    for line, (_, _, words) in zip(lines, broken.problems, strict=True):
        assert words in line
        assert "\n" not in line and len(line) < 512


def test_the_small_fleet_itself_has_no_problem(tmp_path: Path) -> None:
    assert fleet.validate(fleets.write_fleet(tmp_path)) == ()


def test_there_are_at_least_sixty_cases_with_names_of_their_own() -> None:
    assert len({broken.name for broken in CASES}) == len(CASES) >= 60
