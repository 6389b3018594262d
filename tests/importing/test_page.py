"""`docs/import.md` is true: its commands run, its summary is what is printed, its table is the one of the mapping."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from reconcilers.importing import accounting
from tests.importing import siteinfo
from tests.importing.command import mlab

PAGE = (Path(__file__).parents[2] / "docs/import.md").read_text()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that holds what the page speaks of, as the current one."""
    siteinfo.publish(siteinfo.write(tmp_path / "siteinfo"), tmp_path / "published")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def test_every_command_ends_as_the_page_says(here: Path) -> None:
    ran = 0
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.S):
        for line, status in re.findall(r"^\$ (.*)\n(?:\(exit (\d+)\)\n)?", block, re.M):
            words = shlex.split(line)
            if words[0] == "edit":
                path = here / words[1]
                assert words[2] in path.read_text(), line
                path.write_text(path.read_text().replace(words[2], words[3]))
            else:
                done = mlab(*words[1:])
                assert done.status == int(status), f"{line}: {done.status}: {done.out}{done.err}"
                ran += 1
    assert ran == 9


@pytest.mark.usefixtures("here")
def test_the_summary_is_what_is_printed_up_to_where_it_is_cut() -> None:
    printed = mlab("import", "siteinfo", "siteinfo", "--into", "fleet").out
    at = 0
    for part in re.search(r"```text\n(.*?)```", PAGE, re.S)[1].split("…\n"):  # type: ignore[index]
        found = printed.find(part, at)
        assert found >= at, f"not printed, or not here:\n{part}\n{printed}"
        at = found + len(part)
    assert at == len(printed)


def test_the_table_has_each_field_and_no_other() -> None:
    rows = dict(re.findall(r"^\| `([a-z0-9_.*]+)` \| `([a-z0-9_.*]+)` \|", PAGE, re.M))
    assert rows == {theirs: ours for theirs, ours in accounting.OURS.items() if theirs != "switch"}
