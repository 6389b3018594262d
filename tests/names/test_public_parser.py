"""The parser that programs of the public platform share: the cases of its own table, as facts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcilers.core.errors import ConfigError
from reconcilers.fleet import names
from reconcilers.fleet.names import Name

ORG = "measurement-lab.org"
SANDBOX = {"project": "mlab-sandbox", "domain": ORG, "org": "mlab", "version": "v2"}
V3 = {"project": "sandbox", "domain": ORG, "org": "mlab", "version": "v3"}

VALID = {
    "v1": ("mlab1.lol01.measurement-lab.org", {"machine": "mlab1", "site": "lol01", "domain": ORG, "version": "v1"}),
    "v2": ("mlab1-lol01.mlab-sandbox.measurement-lab.org", {"machine": "mlab1", "site": "lol01", **SANDBOX}),
    "v2 with suffix": (
        "mlab1-lol01.mlab-sandbox.measurement-lab.org-a9b8",
        {"machine": "mlab1", "site": "lol01", "suffix": "-a9b8", **SANDBOX},
    ),
    "v2 with service": (
        "ndt-mlab1-lol01.mlab-sandbox.measurement-lab.org",
        {"service": "ndt", "machine": "mlab1", "site": "lol01", **SANDBOX},
    ),
    "v2 with service and suffix": (
        "ndt-mlab1-lol01.mlab-sandbox.measurement-lab.org-a9b8",
        {"service": "ndt", "machine": "mlab1", "site": "lol01", "suffix": "-a9b8", **SANDBOX},
    ),
    "v1 controller": (
        "mlab1d.lol01.measurement-lab.org",
        {"machine": "mlab1d", "site": "lol01", "domain": ORG, "version": "v1"},
    ),
    "v2 controller": (
        "mlab1d-lol01.mlab-sandbox.measurement-lab.org",
        {"machine": "mlab1d", "site": "lol01", **SANDBOX},
    ),
    "third party": ("third-party", {"machine": "third", "site": "party", "version": "v2"}),
    "v1 flat experiment": (
        "ndt-iupui-mlab1-lol01.measurement-lab.org",
        {"machine": "mlab1", "site": "lol01", "domain": ORG, "version": "v1"},
    ),
    "v1 dotted experiment": (
        "ndt.iupui.mlab1.lol01.measurement-lab.org",
        {"machine": "mlab1", "site": "lol01", "domain": ORG, "version": "v1"},
    ),
    "v3 machine": (
        "lol12345-abcdef01.mlab.sandbox.measurement-lab.org",
        {"machine": "abcdef01", "site": "lol12345", **V3},
    ),
    "v3 service": (
        "ndt-lol12345-abcdef01.mlab.sandbox.measurement-lab.org",
        {"service": "ndt", "machine": "abcdef01", "site": "lol12345", **V3},
    ),
}
INVALID = {
    "v2 with two suffixes": "ndt-mlab1-lol01.mlab-sandbox.measurement-lab.org-a9b8-abcd",
    "v2 without separators": "ndtmlab1lol01.mlab-sandbox.measurement-lab.org",
    "v2 machine of two digits": "ndt-mlab12-lol01.mlab-sandbox.measurement-lab.org",
    "too few separators": "mlab1-lol01-measurement-lab.org",
    "v2 under another domain": "mlab1-lol01.mlab-sandbox.measurementlab.net",
    "v1 with another separator": "mlab1=lol01.measurement-lab.org",
    "v1 without a machine": "lol01.measurement-lab.org",
    "v1 third party": "third-party.measurement-lab.org",
    "v2 with dots": "mlab1.lol01.mlab-staging.measurement-lab.org",
    "v2 with a part too many": "mlab1-lol01-rofl.mlab-staging.measurement-lab.org",
    "v3 AS number too long": "lol12345678901-abcdef01.mlab.sandbox.measurement-lab.org",
    "v3 AS number too long, with service": "ndt-lol12345678901-abcdef01.mlab.sandbox.measurement-lab.org",
    "v3 metro of four letters": "abcd12345-abcdef01.mlab.sandbox.measurement-lab.org",
    "v3 metro of two letters": "ab12345-abcdef01.mlab.sandbox.measurement-lab.org",
    "v3 with an empty service": "-abc12345-abcdef01.mlab.sandbox.measurement-lab.org",
    "v3 with an empty site": "ndt--abcdef01.mlab.sandbox.measurement-lab.org",
    "v3 with an empty machine": "ndt-abc1234-.mlab.sandbox.measurement-lab.org",
    "v3 machine of nine characters": "abc12345-abcdef789.mlab.sandbox.measurement-lab.org",
}
OURS_INVALID = {
    "empty": "",
    "only the domain": "measurement-lab.org",
    "only the domain with a dot": ".measurement-lab.org",
    "seven labels": "a.b.c.mlab1.lol01.measurement-lab.org",
    "v3 under another domain": "lol12345-abcdef01.mlab.sandbox.example.org",
    "v2 with an empty service": "-mlab1-lol01.mlab-sandbox.measurement-lab.org",
    "v2 with an empty project": "mlab1-lol01..measurement-lab.org",
    "v1 with letters before the machine": "xmlab1.lol01.measurement-lab.org",
    "v1 with a suffix": "mlab1.lol01.measurement-lab.org-a9b8",
    "v3 with a suffix": "lol12345-abcdef01.mlab.sandbox.measurement-lab.org-a9b8",
    "an alias": "ndt-iupui-mlab1-lol01.mlab-oti.measurement-lab.org",
    "a decorated machine": "mlab1v4-lol01.mlab-oti.measurement-lab.org",
    "a line end": "mlab1-lol01.mlab-oti.measurement-lab.org\n",
}


def test_the_original_table_has_thirty_cases() -> None:
    assert len(VALID) + len(INVALID) == 30


@pytest.mark.parametrize("case", VALID)
def test_a_valid_name_comes_apart_as_in_the_original(case: str) -> None:
    text, parts = VALID[case]
    assert names.parse(text) == Name(**parts)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", [*INVALID.values(), *OURS_INVALID.values()], ids=[*INVALID, *OURS_INVALID])
def test_an_invalid_name_is_refused_with_one_line(text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        names.parse(text)
    assert "is no hostname of the fleet" in str(refused.value)
    assert "\n" not in str(refused.value)


PRINTED = [
    # name, alone, with service, with suffix, all of it
    ("mlab1.foo01.D", "mlab1.foo01.D", "mlab1.foo01.D", "mlab1.foo01.D", "mlab1.foo01.D"),
    ("mlab1-foo01.p.D", "mlab1-foo01.p.D", "mlab1-foo01.p.D", "mlab1-foo01.p.D", "mlab1-foo01.p.D"),
    ("ndt-mlab1-foo01.p.D", "mlab1-foo01.p.D", "ndt-mlab1-foo01.p.D", "mlab1-foo01.p.D", "ndt-mlab1-foo01.p.D"),
    ("mlab1-foo01.p.D-qf8y", "mlab1-foo01.p.D", "mlab1-foo01.p.D", "mlab1-foo01.p.D-qf8y", "mlab1-foo01.p.D-qf8y"),
    (
        "ndt-mlab1-foo01.p.D-qf8y",
        "mlab1-foo01.p.D",
        "ndt-mlab1-foo01.p.D",
        "mlab1-foo01.p.D-qf8y",
        "ndt-mlab1-foo01.p.D-qf8y",
    ),
    ("ndt-lol12345-abcdef01.mlab.p.D",) * 5,
    ("lol12345-abcdef01.mlab.p.D",) * 5,
]


@pytest.mark.parametrize(("text", "alone", "service", "suffix", "full"), PRINTED)
def test_a_name_prints_with_and_without_service_and_suffix(
    text: str, alone: str, service: str, suffix: str, full: str
) -> None:
    name = names.parse(text.replace("D", ORG))
    printed = (str(name), name.with_service(), name.with_suffix(), name.full())
    assert printed == tuple(expected.replace("D", ORG) for expected in (alone, service, suffix, full))


def test_the_third_party_prints_as_it_reads() -> None:
    assert names.parse("third-party").full() == "third-party"


def test_any_domain_may_take_the_place_of_the_public_one() -> None:
    name = names.parse("ndt-mlab1-lga05.mlab-oti.measurement-lab.test", domain="measurement-lab.test")
    assert (name.service, name.machine, name.site, name.project) == ("ndt", "mlab1", "lga05", "mlab-oti")
    with pytest.raises(ConfigError):
        names.parse("ndt-mlab1-lga05.mlab-oti.measurement-lab.org", domain="measurement-lab.test")


words = st.from_regex(r"[a-z][a-z0-9]{1,15}", fullmatch=True)
projects = st.sampled_from(["mlab-sandbox", "mlab-staging", "mlab-oti"])
suffixes = st.one_of(st.just(""), st.from_regex(r"-[a-z0-9]{4}", fullmatch=True))
domains = st.sampled_from([ORG, "measurement-lab.test", "a.b.c"])
v2 = st.builds(
    Name,
    machine=st.from_regex(r"mlab[1-4]d?", fullmatch=True),
    site=st.from_regex(r"[a-z]{3}[0-9][0-9t]", fullmatch=True),
    version=st.just("v2"),
    project=projects,
    domain=domains,
    service=st.one_of(st.just(""), words),
    org=st.just("mlab"),
    suffix=suffixes,
)
v3 = st.builds(
    Name,
    machine=st.from_regex(r"[0-9a-f]{8}", fullmatch=True),
    site=st.from_regex(r"[a-z]{3}[0-9]{1,10}", fullmatch=True),
    version=st.just("v3"),
    project=st.sampled_from(["sandbox", "staging", "autojoin"]),
    domain=domains,
    service=st.one_of(st.just(""), words),
    org=words,
)


@given(st.one_of(v2, v3))
def test_what_is_printed_whole_parses_to_the_same(name: Name) -> None:
    assert names.parse(name.full(), domain=name.domain) == name


@given(st.text(max_size=80))
def test_any_text_is_either_parsed_or_refused(text: str) -> None:
    try:
        name = names.parse(f"{text}.{ORG}")
    except ConfigError:
        return
    assert name.domain == ORG
