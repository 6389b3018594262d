"""The record sets of the zones that an environment's project serves, each with the line in git that it is there for.

What `fleet.zones` derives, in the form of resources: absolute names in an id that begins with the zone, times to live
and values as zone files have them. `zone_checks` has looked at all of it first: a name server takes many a record
that no resolver will ever make sense of.
"""

from __future__ import annotations

from reconcilers.core.errors import ConfigError
from reconcilers.core.model import Id, Resource
from reconcilers.fleet import zone_checks, zones
from reconcilers.fleet.model import Environment, Fleet


def resources(fleet: Fleet, environment: Environment) -> tuple[Resource, ...]:
    """The record sets of one environment. Raises `ConfigError` for zones that cannot be served."""
    served = zones.served(fleet, environment)
    problems = zone_checks.check(fleet, environment, served)
    if problems:
        raise ConfigError(f"{problems[0].span}: {problems[0].message}", problems)
    return tuple(
        Resource(
            Id(record.type, f"{zone.domain}/{record.name}"),
            {"ttl": record.ttl_s, "rrdatas": list(record.values)},
            record.span,
        )
        for zone in served
        for record in zone.records
    )
