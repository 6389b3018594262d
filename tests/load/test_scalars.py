"""What a plain scalar is: YAML 1.2's core schema, without what YAML 1.1 reads otherwise."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from reconcilers.load import parse, scalars


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NO", "NO"),
        ("on", "on"),
        ("yes", "yes"),
        ("y", "y"),
        ("Off", "Off"),
        ("2019-01-01", "2019-01-01"),
        ("2019-01-01T00:00:00Z", "2019-01-01T00:00:00Z"),
        ("=", "="),
        ("v1.10", "v1.10"),
        ("1.2.3", "1.2.3"),
        ("4.35.94.0/26", "4.35.94.0/26"),
        ("2001:db8::", "2001:db8::"),
        ("9990-9999", "9990-9999"),
        ("10g", "10g"),
        ("-", "-"),
        (".", "."),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("0", 0),
        ("-7", -7),
        ("+7", 7),
        ("1.10", 1.1),
        (".5", 0.5),
        ("-0.5", -0.5),
        ("5.", 5.0),
        ("1.5e+3", 1500.0),
    ],
)
def test_a_plain_scalar_has_its_value_of_yaml_1_2(text: str, value: object) -> None:
    found = scalars.plain(text)
    assert found == value and type(found) is type(value)


@example("+.5")
@example("-.0")
@example("-.1e+2")
@given(st.text(alphabet="0123456789+-._:eExobnyftrueals~ ", min_size=1, max_size=8))
def test_what_is_accepted_as_number_or_word_means_the_same_to_yaml_1_1(text: str) -> None:
    text = text.strip()
    try:
        ours = scalars.plain(text)
    except scalars.Ambiguous:
        return
    if not isinstance(ours, str):
        theirs = yaml.safe_load(text or "null")
        assert theirs == ours and type(theirs) is type(ours)


@given(st.text(max_size=12))
def test_a_text_that_needs_no_quotes_is_text_to_both_versions(text: str) -> None:
    if text.isidentifier() and not scalars.needs_quotes(text):
        assert yaml.safe_load(text) == text == scalars.plain(text)


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(10**16), 10**16)
        | st.text(st.characters(categories=["L", "N", "P", "S", "Zs"])),
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(categories=["L"])), inner, max_size=4)
        ),
        max_leaves=20,
    )
)
def test_json_is_read_as_itself(value: object) -> None:
    text = json.dumps({"value": value}, ensure_ascii=False)
    document, problems = parse.parse(text.encode(), "x.yaml")
    assert problems == []
    assert document is not None and document.value == {"value": value}


@given(st.binary(max_size=200))
def test_no_bytes_make_the_parser_raise(data: bytes) -> None:
    document, problems = parse.parse(data, "x.yaml")
    assert (document is None) == bool(problems)
    assert all("\n" not in problem.line() for problem in problems)


@given(st.text(alphabet="ab:-[]{}&*!|>'\"#,? \n\t%@`<", max_size=60))
def test_no_text_makes_the_parser_raise(text: str) -> None:
    document, problems = parse.parse(text.encode(), "x.yaml")
    assert (document is None) == bool(problems)
