"""Files as text: whatever a value is, it is read back as it was, and `mlab fmt` has nothing to change."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcilers.importing import text
from reconcilers.load import format as formatting
from reconcilers.load import parse, schema, source_files
from reconcilers.load.fleet import SCHEMAS

SITE = schema.schemas(SCHEMAS)["Site"]
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
NUMBERS = st.one_of(st.integers(-(10**15), 10**15), st.floats(allow_nan=False, allow_infinity=False, width=32))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text("abcyno_", min_size=1, max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)


def read(written: str) -> Any:
    document, problems = parse.parse(written.encode(), "config/sites/abc01.yaml")
    assert document is not None, f"{written}\n{problems}"
    return document.value


@given(VALUES)
def test_any_value_is_read_back_as_it_was(value: Any) -> None:
    written = text.file({"kind": "Site", "name": "abc01", "location": value}, SITE.data, "site.schema.json")
    assert json.dumps(read(written)["location"], sort_keys=True) == json.dumps(value, sort_keys=True)


@given(TEXTS, TEXTS)
def test_a_file_with_any_text_is_in_the_form_that_fmt_keeps(city: str, provider: str) -> None:
    value = {"transit": {"provider": provider}, "kind": "Site", "location": {"city": city}, "name": "abc01"}
    data = text.file(value, SITE.data, SITE.path.name).encode()
    source = source_files.Source("config/sites/abc01.yaml", "config/sites/abc01.yaml", "sites")
    assert formatting.format_file(data, source, schema.schemas(SCHEMAS)) == data


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("New York", "New York"),
        ("São Paulo", "São Paulo"),
        ("Level 3 Parent, LLC", "Level 3 Parent, LLC"),
        ("NO", '"NO"'),
        ("1e3", '"1e3"'),
        ("2019-01-01", "2019-01-01"),
        ("198.18.0.0/26", "198.18.0.0/26"),
        ("2001:db8::/64", '"2001:db8::/64"'),
        ('"Net', "'\"Net'"),
        ("", '""'),
        ("a: b", '"a: b"'),
        ("a #b", '"a #b"'),
        ("tab\there", '"tab\\there"'),
        (0.000001, "0.000001"),
        (5.0, "5.0"),
        (None, "null"),
    ],
)
def test_people_would_write_it_so(value: Any, written: str) -> None:
    assert text.scalar(value) == written
