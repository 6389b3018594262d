"""Z01: what stands in a zone's file makes a zone that a server loads, and leaves the hosts' names to the hosts."""

from __future__ import annotations

from collections.abc import Iterator

from reconcilers.core.errors import ConfigError
from reconcilers.core.model import Diagnostic, Span
from reconcilers.fleet import names
from reconcilers.fleet.model import Entity, Fleet
from reconcilers.fleet.rules.rule import Absent, Rule, Title, place

ZONE_TITLE = Title("Z01", "zone.records")
_APEX = "@"


def _records(fleet: Fleet, _absent: Absent) -> Iterator[Diagnostic]:
    for zone in fleet.zones.values():
        first: dict[tuple[str, str], Span] = {}
        aliases = {r["name"] for r in zone.data.get("records", ()) if r["type"] == "CNAME"}
        for position, record in enumerate(zone.data.get("records", ())):
            name, kind = record["name"], record["type"]
            span = place(zone.spans, f"records.{position}", zone.span)
            if (name, kind) in first:
                message = f"{name} of type {kind} is listed twice; list all values in one record"
                yield ZONE_TITLE.at(span, message, related=((first[name, kind], "listed first"),))
            first.setdefault((name, kind), span)
            fault = _fault(zone, name, kind, aliases)
            if fault:
                yield ZONE_TITLE.at(span, fault)


def _fault(zone: Entity, name: str, kind: str, aliases: set[str]) -> str:
    if name == _APEX and kind in ("CNAME", "NS"):
        return f"the zone itself has no {kind} here: its SOA and NS are made by whoever serves it"
    if kind != "CNAME" and name in aliases:
        return f"{name} is a CNAME, beside which there can be no {kind}; remove one of them"
    if zone.data["hosts"] != "none" and _is_host(name):
        return f"{name} has the form of a host's name, which is derived from the sites; choose another one"
    return ""


def _is_host(name: str) -> bool:
    """Whether a machine, an experiment, a controller or a switch may be called so, today or tomorrow."""
    for text in (f"{name}.mlab-x.domain.test", f"{name}.domain.test"):
        try:
            names.parse_published(text, domain="domain.test")
        except ConfigError:
            continue
        return True
    return False


def _domains(fleet: Fleet, _absent: Absent) -> Iterator[Diagnostic]:
    projects = {environment.project for environment in fleet.environments.values()}
    first: dict[str, tuple[str, Span]] = {}
    for zone in fleet.zones.values():
        span = place(zone.spans, "domain", zone.span)
        domain = zone.data["domain"]
        if domain in first:
            owner, where = first[domain]
            message = f"domain {domain} is already {owner}'s; put the records into one zone"
            yield ZONE_TITLE.at(span, message, related=((where, f"zone {owner}"),))
        first.setdefault(domain, (zone.name, span))
        for position, project in enumerate(zone.data.get("projects", ())):
            if projects and project not in projects:
                where = place(zone.spans, f"projects.{position}", span)
                known = ", ".join(sorted(projects))
                yield ZONE_TITLE.at(where, f"no environment reconciles project {project}; known: {known}")


ZONE = Rule(
    ZONE_TITLE.code,
    ZONE_TITLE.name,
    "a zone's records make a zone that loads, and no two zones have one domain",
    "A name has one record of a type, with all values; a CNAME stands alone; the zone itself has neither CNAME nor NS "
    "here, because whoever serves a zone makes its SOA and NS. In a zone with hosts, names in the form of a host's "
    "(mlab1-lga05, ndt-mlab1-lga05, s1-lga05) are left to what is derived from the sites. Projects that serve a zone "
    "are projects of environments.",
    each=_records,
    across=_domains,
)
