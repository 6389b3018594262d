"""What the fleet publishes: printers, and our own parser for aliases and decorated names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcilers.core.errors import ConfigError
from reconcilers.fleet import names
from reconcilers.fleet.names import Published

DOMAIN = "measurement-lab.org"

PRINTED = {
    names.machine("mlab1", "lga05", "mlab-oti", DOMAIN): "mlab1-lga05.mlab-oti.measurement-lab.org",
    names.machine("mlab1", "lga05", "mlab-oti", DOMAIN, "v4"): "mlab1v4-lga05.mlab-oti.measurement-lab.org",
    names.machine("mlab1", "lga05", "mlab-oti", DOMAIN, "v6"): "mlab1v6-lga05.mlab-oti.measurement-lab.org",
    names.bmc("mlab1", "lga05", "mlab-oti", DOMAIN): "mlab1d-lga05.mlab-oti.measurement-lab.org",
    names.experiment("ndt", "mlab1", "lga05", "mlab-oti", DOMAIN): "ndt-mlab1-lga05.mlab-oti.measurement-lab.org",
    names.experiment("ndt.iupui", "mlab1", "lga05", "mlab-oti", DOMAIN, "v6"): (
        "ndt-iupui-mlab1v6-lga05.mlab-oti.measurement-lab.org"
    ),
    names.switch("lga05", DOMAIN): "s1-lga05.measurement-lab.org",
    names.machine_v1("mlab1", "lga05", DOMAIN): "mlab1.lga05.measurement-lab.org",
    names.machine_v1("mlab1", "lga05", DOMAIN, "d"): "mlab1d.lga05.measurement-lab.org",
    names.experiment_v1("ndt.iupui", "mlab1", "lga05", DOMAIN): "ndt.iupui.mlab1.lga05.measurement-lab.org",
    names.experiment_v1("ndt.iupui", "mlab1", "lga05", DOMAIN, flattened=True): (
        "ndt-iupui-mlab1-lga05.measurement-lab.org"
    ),
    names.switch_v1("lga05", DOMAIN): "s1.lga05.measurement-lab.org",
}


def test_every_kind_of_name_prints_as_the_public_platform_prints_it() -> None:
    assert list(PRINTED) == list(PRINTED.values())


@pytest.mark.parametrize(
    "text",
    [
        "mlab1.lga05.measurement-lab.org",
        "mlab5-lga05.mlab-oti.measurement-lab.org",
        "mlab1-lga5.mlab-oti.measurement-lab.org",
        "mlab1-lga05.measurement-lab.org",
        "s1-lga05.mlab-oti.measurement-lab.org",
        "s2-lga05.measurement-lab.org",
        "ndt-mlab1d-lga05.mlab-oti.measurement-lab.org",
        "-mlab1-lga05.mlab-oti.measurement-lab.org",
        "ndt--mlab1-lga05.mlab-oti.measurement-lab.org",
        "mlab1-lga05.mlab-oti.measurement-lab.org-a9b8",
        "mlab1-lga05.mlab.oti.measurement-lab.org",
        "mlab1-lga05.mlab-oti.example.org",
        "",
    ],
)
def test_a_name_that_is_never_published_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is no hostname of the fleet"):
        names.parse_published(text, domain=DOMAIN)


machines = st.sampled_from(["mlab1", "mlab2", "mlab3", "mlab4"])
sites = st.from_regex(r"[a-z]{3}[0-9][0-9t]", fullmatch=True)
projects = st.sampled_from(["mlab-sandbox", "mlab-staging", "mlab-oti"])
experiments = st.from_regex(r"[a-z][a-z0-9]{1,15}(\.[a-z0-9]{1,8})?", fullmatch=True).map(names.flat)
published = st.one_of(
    st.builds(Published, record=st.just("switch"), site=sites, domain=st.just(DOMAIN)),
    st.builds(
        Published,
        record=st.just("bmc"),
        site=sites,
        domain=st.just(DOMAIN),
        machine=machines,
        project=projects,
        decoration=st.just("d"),
    ),
    st.builds(
        Published,
        record=st.just("machine"),
        site=sites,
        domain=st.just(DOMAIN),
        machine=machines,
        project=projects,
        decoration=st.sampled_from(["", "v4", "v6"]),
    ),
    st.builds(
        Published,
        record=st.just("experiment"),
        site=sites,
        domain=st.just(DOMAIN),
        machine=machines,
        project=projects,
        experiment=experiments,
        decoration=st.sampled_from(["", "v4", "v6"]),
    ),
)


@given(published)
def test_a_published_name_parses_to_what_was_printed(name: Published) -> None:
    assert names.parse_published(str(name), domain=DOMAIN) == name


@given(published)
def test_the_public_parser_reads_what_has_neither_alias_nor_decoration(name: Published) -> None:
    if name.record == "switch" or name.decoration in ("v4", "v6") or "-" in name.experiment:
        with pytest.raises(ConfigError):
            names.parse(str(name))
    else:
        parsed = names.parse(str(name))
        machine = f"{name.machine}{name.decoration}"
        assert (parsed.service, parsed.machine, parsed.site) == (name.experiment, machine, name.site)
