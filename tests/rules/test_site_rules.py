"""Sites: prefixes used again, places, days of life, names of networks, draining. At the limits and one beyond."""

from __future__ import annotations

import dataclasses
import math
from datetime import date, timedelta
from typing import Any

import pytest

from reconcilers.fleet import airports, continents
from reconcilers.fleet.model import Lifecycle, Location, Site
from reconcilers.fleet.past import Past, SiteVersion, Times
from reconcilers.fleet.rules import lifecycles, places
from reconcilers.fleet.rules.rule import Absent
from tests import fleet_values as values
from tests.rules.subjects import TODAY, aged, entity, fleet, over_time, problems

DAY = timedelta(days=1)


def retired(site: Site, created: str = "2012-01-01", on: str = "2020-06-30") -> Site:
    return dataclasses.replace(
        site, lifecycle=Lifecycle("retired", date.fromisoformat(created), date.fromisoformat(on))
    )


def reusing(site: Site, *names: str, created: str = "2020-06-30") -> Site:
    return dataclasses.replace(aged(site, created), reuses=names)


# S03

OLD = retired(values.physical("lga01", "198.18.0.0/26", "2001:db8:0:1::/64"))


@pytest.mark.parametrize(
    ("prefix", "prefix6", "count"),
    [
        ("198.18.0.64/26", "2001:db8:0:2::/64", 0),
        ("198.18.0.0/26", "2001:db8:0:2::/64", 1),
        ("198.18.0.48/28", None, 1),
        ("198.18.0.64/26", "2001:db8:0:1::/64", 1),
        ("198.18.0.64/26", "2001:db8::/48", 1),
        ("198.18.0.0/26", "2001:db8:0:1::/64", 1),
    ],
)
def test_a_prefix_of_a_retired_site_needs_its_name_once(prefix: str, prefix6: str | None, count: int) -> None:
    new = values.physical("lga02", prefix, prefix6, machines=("mlab1",), switch=None)
    assert len(problems("S03", fleet(OLD, aged(new, "2021-01-01")))) == count
    named = problems("S03", fleet(OLD, reusing(new, "lga01", created="2021-01-01")))
    assert named == ([] if count else ["lga02 reuses lga01, but lga02 has no prefix of lga01's; remove it from reuses"])


@pytest.mark.parametrize(("created", "count"), [("2020-06-29", 1), ("2020-06-30", 0), ("2020-07-01", 0)])
def test_the_old_site_was_retired_on_the_day_of_the_new_one_at_the_latest(created: str, count: int) -> None:
    new = values.physical("lga02", "198.18.0.0/26", "2001:db8:0:1::/64")
    found = problems("S03", fleet(OLD, reusing(new, "lga01", created=created)))
    assert len(found) == count
    assert all("before lga01 gave 198.18.0.0/26 back on 2020-06-30" in message for message in found)


@pytest.mark.parametrize("state", ["retired", "unlisted"])
def test_two_sites_that_are_both_gone_may_share_a_prefix(state: Any) -> None:
    other = values.physical("lga02", "198.18.0.0/26", "2001:db8:0:1::/64", state=state)
    assert problems("S03", fleet(OLD, other)) == []


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (None, "there is no such site"),
        (values.physical("lga01", "198.18.9.0/26", None), "lga01 is active"),
        (retired(values.physical("lga01", "198.18.9.0/26", None)), "has no prefix of lga01's"),
    ],
)
def test_a_name_in_reuses_must_be_true(other: Site | None, words: str) -> None:
    new = reusing(values.physical("lga02", "198.18.0.0/26", None), "lga01")
    found = problems("S03", fleet(*([other] if other else []), new))
    assert len(found) == 1 and words in found[0]
    unread = Absent({"sites": frozenset({"lga01"})})
    assert problems("S03", fleet(new), unread) == []


def test_an_address_of_a_virtual_machine_comes_and_goes_without_a_word() -> None:
    machine = values.virtual("lga02", {"mlab1": ("198.18.0.9", None)})
    assert problems("S03", fleet(OLD, machine)) == []


# S09


def at(site: Site, **place: Any) -> Site:
    return dataclasses.replace(site, location=dataclasses.replace(site.location, **place))


@pytest.mark.parametrize(("km", "count"), [(0, 0), (149.9, 0), (150.1, 1), (9000, 1)])
@pytest.mark.parametrize("direction", [1, -1])
def test_a_site_is_within_150_km_of_its_airport(km: float, count: int, direction: int) -> None:
    (airport,) = airports.find(["lga"])["lga"]
    latitude = airport.latitude - direction * math.degrees(km / 6371)
    site = at(values.lga05(), latitude=max(-90.0, latitude), longitude=airport.longitude)
    if latitude > -90:
        assert math.isclose(airports.distance_km(airport, latitude, airport.longitude), km, abs_tol=0.01)
    assert len(problems("S09", fleet(site))) == count


def test_a_distance_across_the_date_line_is_short() -> None:
    (airport,) = airports.find(["nan"])["nan"]
    assert airports.distance_km(airport, airport.latitude, airport.longitude - 360) < 0.001


def test_the_hint_says_where_the_airport_is() -> None:
    site = at(values.lga05(), longitude=73.8726)
    (message,) = problems("S09", fleet(site))
    assert "km from LGA (New York), the limit is 150 km" in message


@pytest.mark.parametrize(
    ("name", "metro", "count"), [("lga05", "lga", 0), ("lon05", "lon", 0), ("qqq05", "qqq", 1), ("zzz05", "zzz", 1)]
)
def test_a_metro_is_an_airport_or_a_city_of_the_iata(name: str, metro: str, count: int) -> None:
    place = Location(metro, "London", "", "GB", "EU", 51.5, -0.1)
    site = at(values.physical(name, "198.18.0.0/26", None), **(dataclasses.asdict(place) if metro == "lon" else {}))
    site = at(site, metro=metro)
    found = problems("S09", fleet(site))
    assert len(found) == count and all("is no IATA code" in message for message in found)


@pytest.mark.parametrize(
    ("country", "continent", "count"),
    [("US", "NA", 0), ("US", "EU", 1), ("TR", "AS", 0), ("TR", "EU", 0), ("TR", "AF", 1), ("ZZ", "NA", 1)],
)
def test_a_country_is_on_its_continent(country: str, continent: str, count: int) -> None:
    assert len(problems("S09", fleet(at(values.lga05(), country=country, continent=continent)))) == count


@pytest.mark.parametrize("state", ["retired", "unlisted"])
def test_where_a_site_was_that_is_gone_is_not_asked(state: Any) -> None:
    assert problems("S09", fleet(at(values.lga05(state=state), continent="", longitude=73.9))) == []


def test_every_country_has_a_continent_and_two_letters() -> None:
    table = continents._OF
    assert len(table) == 250, "249 of ISO 3166-1, and Kosovo"
    assert all(len(code) == 2 and code.isupper() for code in table)
    assert {len(found) for found in table.values()} == {1, 2}


def test_the_real_sites_lie_where_they_say() -> None:
    real = [make() for make in values.ALL_SITES]
    assert problems("S09", fleet(*real)) == []
    assert places.MAX_KM == 150


# S11


def lived(created: date, gone: date) -> Site:
    return dataclasses.replace(values.lga05(), lifecycle=Lifecycle("retired", created, gone))


@pytest.mark.parametrize(("days", "count"), [(-1, 1), (0, 0), (1, 0)])
def test_a_site_is_retired_after_it_was_created(days: int, count: int) -> None:
    assert len(problems("S11", fleet(lived(date(2020, 1, 1), date(2020, 1, 1) + days * DAY)))) == count


@pytest.mark.parametrize(("days", "count"), [(-1, 0), (0, 0), (1, 1)])
def test_a_site_is_not_retired_in_the_future(days: int, count: int) -> None:
    assert len(over_time("S11", fleet(lived(date(2020, 1, 1), TODAY + days * DAY)))) == count


@pytest.mark.parametrize(("created", "count"), [("2019-01-01", 0), ("2015-05-05", 1)])
def test_a_name_that_was_another_sites_is_told(created: str, count: int) -> None:
    present = aged(values.lga05(), "2019-01-01")
    past = Past(earlier={"lga05": SiteVersion("abc1234", "retired", created)})
    found = over_time("S11", fleet(present), past)
    assert len(found) == count and all("created 2015-05-05 and removed in abc1234" in message for message in found)


def test_the_next_name_of_each_metro_is_offered() -> None:
    sites = [values.physical(name, f"198.18.{n}.0/26", None) for n, name in enumerate(("lga05", "lga1t", "sea09"))]
    assert list(lifecycles.DATES.remedy(fleet(*sites), Times(TODAY))) == ["next names: lga06, sea10"]


# S12


def carried(name: str, provider: str, asn: int = 64500, created: str = "2019-01-01", **changes: Any) -> Site:
    number = int(name[3:])
    return aged(values.physical(name, f"198.18.{number}.0/26", None, asn=asn, provider=provider, **changes), created)


def test_the_name_that_most_sites_have_is_right_and_of_two_the_older() -> None:
    three = fleet(carried("lga01", "Omega"), carried("lga02", "Alpha"), carried("lga03", "Alpha"))
    assert [message[:22] for message in problems("S12", three)] == ["AS64500 is called 'Ome"]
    two = fleet(carried("lga01", "Omega", created="2021-01-01"), carried("lga02", "Alpha"))
    assert [message[:22] for message in problems("S12", two)] == ["AS64500 is called 'Ome"]


def test_one_provider_may_have_several_numbers() -> None:
    assert problems("S12", fleet(carried("lga01", "Alpha", 64500), carried("lga02", "Alpha", 64501))) == []


@pytest.mark.parametrize(("state", "count"), [("planned", 1), ("lame-duck", 1), ("retired", 0), ("unlisted", 0)])
def test_only_sites_in_use_must_agree_on_a_name(state: Any, count: int) -> None:
    other = carried("lga02", "Omega", created="2021-01-01", state=state)
    assert len(problems("S12", fleet(carried("lga01", "Alpha"), other))) == count


def network(asn: int, *names: str, name: str = "") -> Any:
    return entity("networks", name or f"as{asn}", asn=asn, names=list(names), reason="a merger in 2024")


@pytest.mark.parametrize(
    ("networks", "words"),
    [
        ([network(64500, "Alpha", "Omega")], []),
        ([network(64500, "Alpha", "Gamma")], ["provider 'Omega' of AS64500 is none of Alpha, Gamma"]),
        ([network(64501, "Alpha", "Omega")], ["AS64500 is called 'Omega'"]),
        ([network(64500, "Alpha", "Omega", name="as1")], ["AS64500 is described by as1; call it as64500"]),
        (
            [network(64500, "Alpha", "Omega"), network(64500, "Alpha", "Omega", name="as64501")],
            ["AS64500 is already described by as64500", "AS64500 is described by as64501; call it"],
        ),
    ],
)
def test_after_a_merger_a_network_may_have_the_names_that_its_file_lists(networks: Any, words: list[str]) -> None:
    subject = fleet(
        carried("lga01", "Alpha"),
        carried("lga02", "Omega", created="2021-01-01"),
        networks={item.name: item for item in networks},
    )
    found = problems("S12", subject)
    assert len(found) == len(words)
    assert all(part in message for part, message in zip(words, found, strict=True))


def test_no_name_is_called_wrong_while_a_network_cannot_be_read() -> None:
    subject = fleet(carried("lga01", "Alpha"), carried("lga02", "Omega"))
    assert problems("S12", subject, Absent({"networks": frozenset({"as64500"})})) == []


# S14


@pytest.mark.parametrize(
    ("state", "count"), [("planned", 0), ("active", 1), ("lame-duck", 1), ("retired", 1), ("unlisted", 1)]
)
def test_only_a_planned_site_may_have_no_machine(state: Any, count: int) -> None:
    assert len(problems("S14", fleet(values.lga05(state=state, machines=())))) == count


@pytest.mark.parametrize(
    ("before", "count"), [("lame-duck", 0), ("planned", 0), ("unlisted", 0), ("active", 1), (None, 0)]
)
@pytest.mark.parametrize("commit", ["abc1234", ""])
def test_a_site_drains_before_it_goes(before: str | None, count: int, commit: str) -> None:
    known = {} if before is None else {"lga05": SiteVersion(commit, before, "2019-01-01")}
    found = over_time("S14", fleet(retired(values.lga05())), Past(before_retired=known))
    assert len(found) == count
    assert all((f"until {commit}" if commit else "in the last commit") in message for message in found)


def test_what_came_before_is_of_no_interest_while_the_site_is_in_use() -> None:
    past = Past(before_retired={"lga05": SiteVersion("abc1234", "active", "2019-01-01")})
    assert over_time("S14", fleet(values.lga05()), past) == []
