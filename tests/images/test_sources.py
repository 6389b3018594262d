"""The archive is this machine's own, whatever it is called; only the suite is ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.images import sources
from node.images.errors import ImageError
from node.images.sources import Entry

DEB822 = """\
# a remark
Types: deb deb-src
URIs: http://archive.example.test/debian
Suites: bookworm bookworm-updates
Components: main

Types: deb
URIs: http://archive.example.test/security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://off.example.test/debian
Suites: trixie
Components: main
"""
ONE_LINE = """\
# deb http://remark.example.test/debian bookworm main
deb [arch=amd64 signed-by=/k.gpg] http://one.example.test/debian bookworm main contrib
deb-src http://one.example.test/debian bookworm main
deb http://one.example.test/security bookworm-security main
"""


def etc(folder: Path, **files: str) -> Path:
    (folder / "sources.list.d").mkdir()
    for name, text in files.items():
        (folder / name.replace("__", "/").replace("_list", ".list").replace("_sources", ".sources")).write_text(text)
    return folder


def test_both_forms_are_read_and_what_is_off_is_not(tmp_path: Path) -> None:
    found = sources.entries(etc(tmp_path, sources_list=ONE_LINE, **{"sources.list.d__debian_sources": DEB822}))
    assert found == (
        Entry("http://one.example.test/debian", "bookworm"),
        Entry("http://one.example.test/security", "bookworm-security"),
        Entry("http://archive.example.test/debian", "bookworm"),
        Entry("http://archive.example.test/debian", "bookworm-updates"),
        Entry("http://archive.example.test/security", "bookworm-security"),
    )


@pytest.mark.parametrize(
    ("suite", "ends"),
    [
        ("bookworm", ["/debian bookworm main", "/security bookworm-security main"]),
        ("trixie", ["/debian trixie main", "/security trixie-security main"]),
        ("forky", ["/debian forky main"]),
    ],
)
def test_another_suite_comes_from_the_same_archive(tmp_path: Path, suite: str, ends: list[str]) -> None:
    lines = sources.lines(suite, etc(tmp_path, sources_list=ONE_LINE))
    assert [line.partition("one.example.test")[2] for line in lines] == ends
    assert all("signed-by=/usr/share/keyrings/debian-archive-keyring.gpg" in line for line in lines)


def test_a_machine_without_a_debian_source_is_told_so(tmp_path: Path) -> None:
    vendor = "deb http://vendor.example.test/apt nodistro main\n"
    with pytest.raises(ImageError, match="add a source for Debian"):
        sources.lines("bookworm", etc(tmp_path, sources_list=vendor))
