"""S09: a site lies where its name says. The table of airports is looked at once for all metros, some 10 ms."""

from __future__ import annotations

from collections.abc import Iterator

from reconcilers.core.model import Diagnostic
from reconcilers.fleet import airports, continents
from reconcilers.fleet.model import Fleet, Site
from reconcilers.fleet.rules.prefixes import HOLDING
from reconcilers.fleet.rules.rule import Absent, Rule, Title, place

PLACE_TITLE = Title("S09", "site.place")
MAX_KM = 150


def _places(fleet: Fleet, _absent: Absent) -> Iterator[Diagnostic]:
    sites = [site for site in fleet.sites.values() if site.lifecycle.state in HOLDING]
    known = airports.find(site.location.metro for site in sites)
    for site in sites:
        where = known.get(site.location.metro, ())
        if where:
            yield from _distance(site, where)
        else:
            span = place(site.spans, "location.metro", site.span)
            message = (
                f"{site.location.metro} is no IATA code of an airport or city; name {site.name} after the airport that "
                "is nearest"
            )
            yield PLACE_TITLE.at(span, message)
        yield from _continent(site)


def _distance(site: Site, where: tuple[airports.Airport, ...]) -> Iterator[Diagnostic]:
    latitude, longitude = site.location.latitude, site.location.longitude
    far, airport = min(
        ((airports.distance_km(airport, latitude, longitude), airport) for airport in where), key=lambda found: found[0]
    )
    if far > MAX_KM:
        span = place(site.spans, "location.latitude", site.span)
        message = (
            f"{latitude}, {longitude} of {site.name} is {far:.0f} km from {airport.code.upper()} ({airport.city}), the "
            f"limit is {MAX_KM} km; correct the coordinates or the metro"
        )
        hint = f"{airport.code.upper()} is at {airport.latitude:.4f}, {airport.longitude:.4f}"
        yield PLACE_TITLE.at(span, message, hint=hint)


def _continent(site: Site) -> Iterator[Diagnostic]:
    country, continent = site.location.country, site.location.continent
    on = continents.of(country)
    if not on:
        span = place(site.spans, "location.country", site.span)
        yield PLACE_TITLE.at(span, f"{country} of {site.name} is no country of ISO 3166-1; write its two letters")
    elif continent not in on:
        span = place(site.spans, "location.continent", site.span)
        message = f"{country} of {site.name} is not in {continent or 'no continent'}; write {' or '.join(on)}"
        yield PLACE_TITLE.at(span, message)


PLACE = Rule(
    PLACE_TITLE.code,
    PLACE_TITLE.name,
    f"the metro is an IATA code, the coordinates are within {MAX_KM} km of it, and the country is on the continent",
    "Locate sends clients to what is near, so a wrong sign or two coordinates in the wrong order send a continent's "
    "clients around the world. Metros are airports, or cities with several, by the code of the IATA; countries are "
    "those of ISO 3166-1, and one on two continents may be said to lie on either. Retired and unlisted sites are not "
    "looked at: nobody is sent there.",
    each=_places,
)
