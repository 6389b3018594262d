"""The comparison of a file with what a server prints; the forms are those of Prometheus 3.16 and Alertmanager 0.31."""

from __future__ import annotations

from typing import Any

import pytest

from reconcilers.providers.monitoring import checks, live

JOB = {"job_name": "x", "scrape_interval": "1m", "scheme": "http", "honor_timestamps": True}


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        ({"a": {"b": 1, "default": 2}}, {"a": {"b": 1}}),
        ({"scrape_interval": "1m"}, {"scrape_interval": "60s"}),
        ({"for": "1d"}, {"for": "24h"}),
        ({"rule_files": ["/etc/p/rules/a.yml"]}, {"rule_files": ["rules/a.yml"]}),
        ({"basic_auth": {"password": "<secret>"}}, {"basic_auth": {"password": "x"}}),
        ({}, {"honor_labels": False}),
        ({}, {"params": {}}),
        ({"matchers": ['severity="page"']}, {"matchers": ["severity=page"]}),
        ({"jobs": [JOB]}, {"jobs": [{"job_name": "x"}]}),
    ],
)
def test_a_print_covers_what_the_file_says(printed: Any, said: Any) -> None:
    assert live.covers(printed, said)


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        ({"a": 1}, {"a": 2}),
        ({}, {"a": 2}),
        ({"a": None}, {"a": "x"}),
        ({"scrape_interval": "1m"}, {"scrape_interval": "61s"}),
        ({"rule_files": ["/etc/p/rules/b.yml"]}, {"rule_files": ["rules/a.yml"]}),
        ({"rule_files": ["/etc/p/xrules/a.yml"]}, {"rule_files": ["rules/a.yml"]}),
        ({"jobs": [JOB, JOB]}, {"jobs": [{"job_name": "x"}]}),
        ({"jobs": [JOB]}, {"jobs": []}),
        ({"flag": 1}, {"flag": True}),
        ({"a": "text"}, {"a": {"b": 1}}),
        ({"a": {"b": 1}}, {"a": ["b"]}),
        (None, {"a": 1}),
    ],
)
def test_a_print_that_lacks_something_is_another_configuration(printed: Any, said: Any) -> None:
    assert not live.covers(printed, said)


RULE = {"alert": "A", "expr": "sum(up) by (job) < 0.90", "for": "60m", "labels": {"severity": "page"}}
LIVE = {
    "name": "A",
    "query": "sum by (job) (up) < 0.9",
    "duration": 3600,
    "keepFiringFor": 0,
    "labels": {"severity": "page"},
    "annotations": {},
}


def formatted(expression: str) -> str:
    """The printer of the server, for the two texts of this test."""
    return "one" if expression in (RULE["expr"], LIVE["query"]) else expression


def same(said: dict[str, Any], **changes: Any) -> bool:
    group = {"name": "g", "interval": 60, "rules": [{**LIVE, **changes}]}
    return live.same_groups([group], {"groups": [{"name": "g", "rules": [said]}]}, formatted, 60)


def test_a_rule_is_the_same_in_the_printers_words() -> None:
    assert same(RULE)
    assert not live.same_groups([], {"groups": [{"name": "g", "rules": [RULE]}]}, formatted, 60)
    assert live.same_groups([], {"groups": []}, formatted, 60)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "B"},
        {"query": "vector(1)"},
        {"duration": 3601},
        {"keepFiringFor": 60},
        {"labels": {"severity": "ticket"}},
        {"annotations": {"summary": "x"}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_each_part_of_a_rule_counts(changes: dict[str, Any]) -> None:
    assert not same(RULE, **changes)


def test_the_hash_of_alertmanager_is_that_of_its_metric() -> None:
    # md5("") starts d41d8cd98f00; as a little-endian number of 48 bits.
    assert live.alertmanager_hash(b"") == float(0x008FD98C1DD4)


@pytest.mark.parametrize(
    ("output", "line"),
    [
        ("  FAILED: parsing YAML file a.yml: yaml: line 3: no\n", "parsing YAML file a.yml: yaml: line 3: no"),
        ("Checking x\n  FAILED:\nrules/a.yml: 5:11: bad\nmore\n", "rules/a.yml: 5:11: bad"),
        ("  FAILED: yaml: errors:\n  line 4: field x not found\n", "yaml: errors: line 4: field x not found"),
        ("Checking 'a'  FAILED: undefined receiver\n", "undefined receiver"),
        ("amtool: error: unknown flag\n", "amtool: error: unknown flag"),
        ("panic: oh\n", "panic: oh"),
        ("", "it failed and did not say why"),
    ],
)
def test_the_first_error_of_a_program_is_one_line(output: str, line: str) -> None:
    assert checks.first_error("", output) == line
