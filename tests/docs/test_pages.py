"""What the pages say exists: files behind links, verbs and flags of commands, keys of examples, rules, targets."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import jsonschema_rs
import pytest

from reconcilers.cli import arguments
from reconcilers.load import parse, schema
from reconcilers.load.fleet import SCHEMAS

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md")))
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)?(?:#([^)\s]+))?\)")
COMMAND = re.compile(r"^(?:    |\$ |)(?:\.venv/bin/)?(mlab [a-z][^\n]*)$", re.M)
INLINE = re.compile(r"`(mlab [a-z][^`|…]*)`")

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def text(page: Path) -> str:
    """A page with its continued lines joined."""
    return page.read_text().replace("\\\n", " ")


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    for path, anchor in LINK.findall(text(page)):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {path}"
        assert not anchor or anchor in anchors(target), f"{page.name}: {path}#{anchor}"


@every_page
def test_commands_are_ones_that_the_program_understands(page: Path) -> None:
    inline = [command for command in INLINE.findall(text(page)) if "--" in command]
    for command in [*COMMAND.findall(text(page)), *inline]:
        words = shlex.split(command.partition("  #")[0].replace("\n", " "))[1:]
        try:
            arguments.parser().parse_args(words)
        except SystemExit as stop:
            assert not stop.code, f"{page.name}: {command}"


def examples() -> Iterator[tuple[Path, str, str]]:
    """Every YAML example that names its schema, as an editor would."""
    for page in PAGES:
        for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.S):
            named = re.search(r"yaml-language-server: \$schema=\.\./\.\./schemas/(\S+)", block)
            if named:
                yield page, named[1], block


@pytest.mark.parametrize(("page", "name", "block"), [pytest.param(*e, id=f"{e[0].stem} {e[1]}") for e in examples()])
def test_examples_fit_the_schema_that_they_name(page: Path, name: str, block: str) -> None:
    document, problems = parse.parse(block.encode(), page.name)
    assert document is not None, problems
    path = SCHEMAS / name
    kinds = {known.path: known for known in schema.schemas(SCHEMAS).values()}
    assert schema.validate(document, kinds[path]) == [], path
    jsonschema_rs.validator_for(kinds[path].data).validate(document.value)
