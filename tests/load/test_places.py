"""Every value is found again in its file: beginning, end, key, and how it is written."""

from __future__ import annotations

import pytest

from reconcilers.core.model import Span
from reconcilers.load import parse
from reconcilers.load.document import Document

TEXT = """\
kind: Site
network:
  ipv4: {prefix: 198.18.0.0/26}
ports: [80, "443"]
aliases:
  - ndt.iupui
  - name: São Paulo
services:
  ndt/ndt7: ["ws:///x"]
  a.b: 1
text: |
  two
  lines
"""


def document() -> Document:
    found, problems = parse.parse(TEXT.encode(), "config/x.yaml")
    assert found is not None and problems == []
    return found


@pytest.mark.parametrize(
    ("path", "line", "column", "end"),
    [
        (("kind",), 1, 7, (1, 11)),
        (("network",), 3, 3, (4, 1)),
        (("network", "ipv4", "prefix"), 3, 18, (3, 31)),
        (("ports", 1), 4, 13, (4, 18)),
        (("aliases", 0), 6, 5, (6, 14)),
        (("aliases", 1, "name"), 7, 11, (7, 20)),
        (("services", "ndt/ndt7", 0), 9, 14, (9, 23)),
    ],
)
def test_a_value_has_its_place(path: tuple[str | int, ...], line: int, column: int, end: tuple[int, int]) -> None:
    assert document().span(path) == Span("config/x.yaml", line, column)
    assert document().end(path) == end


def test_a_missing_field_is_placed_at_what_would_hold_it() -> None:
    assert document().span(("network", "ipv4", "gateway")) == Span("config/x.yaml", 3, 9)


def test_a_key_has_its_own_place() -> None:
    assert document().key(("network", "ipv4")) == (Span("config/x.yaml", 3, 3), (3, 7))


def test_a_scalar_is_quoted_as_it_is_written() -> None:
    assert document().source(("ports", 1)) == '"443"'
    assert document().source(("aliases", 1, "name")) == "São Paulo"


def test_places_are_found_by_dotted_path_even_where_keys_hold_dots_and_slashes() -> None:
    spans = document().spans()
    assert spans["network.ipv4.prefix"].line == 3
    assert spans["ports.1"].column == 13
    assert spans["services.a.b"].line == 10
    assert spans["services.ndt/ndt7.0"].line == 9
    assert "network.ipv6" not in spans
    assert {"kind", "network.ipv4", "aliases.1.name"} <= set(spans)
    assert len(spans) == len(list(spans))
