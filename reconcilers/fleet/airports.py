"""Where a metro is: the airport behind an IATA code, out of the table that the package `airportsdata` carries.

The table has 28,000 airports, the fleet some eighty metros: only their lines are taken apart, which costs 10 ms once
where reading the whole table costs 70. Codes of cities with several airports (LON, NYC) are in the IATA's list too and
stand for all of them.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import airportsdata

_FOLDER = Path(airportsdata.__file__).parent
_EARTH_KM = 6371.0


@dataclass(frozen=True, slots=True)
class Airport:
    """One airport: its code in lower case, its town, and where it is in degrees."""

    code: str
    city: str
    country: str
    latitude: float
    longitude: float


def find(metros: Iterable[str]) -> Mapping[str, tuple[Airport, ...]]:
    """The airports of each metro that the table knows; more than one for the code of a city."""
    return _find(frozenset(metros))


@lru_cache(maxsize=4)
def _find(metros: frozenset[str]) -> Mapping[str, tuple[Airport, ...]]:
    found: dict[str, tuple[Airport, ...]] = {airport.code: (airport,) for airport in _airports(metros)}
    rest = metros - found.keys()
    if rest:
        for metro, codes in _cities(rest).items():
            found[metro] = tuple(_airports(frozenset(codes)))
    return found


def _airports(codes: frozenset[str]) -> list[Airport]:
    wanted = {f'"{code.upper()}"'.encode() for code in codes}
    table = (_FOLDER / "airports.csv").read_bytes()
    head, _, rest = table.partition(b"\n")
    # The columns before the second comma are two codes, which hold no comma themselves.
    lines = [line for line in rest.split(b"\n") if line.split(b",", 2)[1:2] and line.split(b",", 2)[1] in wanted]
    rows = csv.DictReader([text.decode() for text in (head, *lines)])
    return [
        Airport(row["iata"].lower(), row["city"], row["country"], float(row["lat"]), float(row["lon"])) for row in rows
    ]


def _cities(codes: frozenset[str]) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    with (_FOLDER / "iata_macs.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["City Code"].lower() in codes:
                found.setdefault(row["City Code"].lower(), []).append(row["Airport Code"].lower())
    return found


def distance_km(airport: Airport, latitude: float, longitude: float) -> float:
    """The way over the ground, on a sphere: half a percent of error is nothing to a limit of 150 km."""
    here, there = math.radians(latitude), math.radians(airport.latitude)
    east = math.radians(longitude - airport.longitude)
    chord = math.sin((here - there) / 2) ** 2 + math.cos(here) * math.cos(there) * math.sin(east / 2) ** 2
    return 2 * _EARTH_KM * math.asin(math.sqrt(min(1.0, chord)))
