"""Every code that a problem's line can carry is one that `mlab explain` knows, under the same name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from reconcilers.cli.main import main
from reconcilers.load import explain
from tests.fleets import CHECKOUT

CODE = re.compile(r"[A-Z]\d\d")
NAME = re.compile(r"[a-z]+(-[a-z0-9]+)*\.[a-z0-9]+(-[a-z0-9]+)*")


def in_source() -> Iterator[tuple[str, str]]:
    """Each text of the form of a code, with its place: whatever makes a diagnostic has to write its code somewhere."""
    for path in sorted((CHECKOUT / "reconcilers").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value):
                yield node.value, f"{path.relative_to(CHECKOUT)}:{node.lineno}"


FOUND = dict(in_source())


def test_the_search_finds_codes_of_every_layer() -> None:
    assert {"F01", "Y01", "C01", "S02", "J01", "R01", "R02"} <= FOUND.keys() and len(FOUND) > 30


@pytest.mark.parametrize("code", sorted(FOUND))
def test_a_code_of_the_source_is_explained(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", code, "--root", str(CHECKOUT)]) == 0, f"{code} of {FOUND[code]} is not explained"
    out = capsys.readouterr().out
    assert out.startswith(f"{code} ") and len(out) > 60


def test_codes_and_names_are_given_once() -> None:
    known = list(explain.known())
    codes, names = [item.code for item in known], [item.name for item in known]
    assert len(set(codes)) == len(codes) and len(set(names)) == len(names)
    assert all(NAME.fullmatch(name) for name in names)
