"""S03: a prefix that a retired site gave back may serve again, if the new site says whose it was.

Intervals sorted once, as for overlaps: 117 sites against 186 retired ones take some milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator

from reconcilers.core.model import Diagnostic
from reconcilers.fleet.model import Fleet, Site
from reconcilers.fleet.rules import prefixes
from reconcilers.fleet.rules.rule import Absent, Rule, Title, place

REUSE_TITLE = Title("S03", "site.prefix-reuse")


def _shared(fleet: Fleet) -> dict[tuple[str, str], prefixes.Held]:
    """What a site holds that a retired one had, by (site, retired site); IPv4 before IPv6."""
    found: dict[tuple[str, str], prefixes.Held] = {}
    retired = {site.name for site in fleet.sites.values() if site.lifecycle.state == "retired"}
    chosen = [site for site in fleet.sites.values() if site.network is not None]
    chosen = [site for site in chosen if site.name in retired or site.lifecycle.state in prefixes.HOLDING]
    for version in (4, 6):
        items = sorted(item for site in chosen for item in prefixes.held(site, version) if site.network is not None)
        for one, other in prefixes.overlapping(items):
            for new, old in ((one, other), (other, one)):
                if new.site not in retired and old.site in retired:
                    found.setdefault((new.site, old.site), new)
    return found


def _reuses(fleet: Fleet, absent: Absent) -> Iterator[Diagnostic]:
    shared = _shared(fleet)
    for (name, old_name), item in shared.items():
        site, old = fleet.sites[name], fleet.sites[old_name]
        span = place(site.spans, item.path, site.span)
        where = place(old.spans, item.path, old.span)
        if old_name not in site.reuses:
            message = (
                f"{item.text} of {name} was {old_name}'s, retired {old.lifecycle.retired}; if it came back to us, add "
                f"{old_name} to reuses"
            )
            yield REUSE_TITLE.at(span, message, related=((where, f"{old_name} had it"),))
        elif old.lifecycle.retired is not None and old.lifecycle.retired > site.lifecycle.created:
            message = (
                f"{name} was created {site.lifecycle.created}, before {old_name} gave {item.text} back on "
                f"{old.lifecycle.retired}; correct the day that is wrong"
            )
            day = place(old.spans, "lifecycle.retired", old.span)
            created = place(site.spans, "lifecycle.created", site.span)
            yield REUSE_TITLE.at(created, message, related=((day, f"{old_name} was retired then"),))
    for site in fleet.sites.values():
        yield from _idle(fleet, site, shared, absent)


def _idle(
    fleet: Fleet, site: Site, shared: dict[tuple[str, str], prefixes.Held], absent: Absent
) -> Iterator[Diagnostic]:
    """Names in `reuses` that say nothing true."""
    if site.lifecycle.state not in prefixes.HOLDING:
        return
    for position, name in enumerate(site.reuses):
        if absent.has("sites", name) or (site.name, name) in shared:
            continue
        span = place(site.spans, f"reuses.{position}", site.span)
        old = fleet.sites.get(name)
        if old is None:
            why = "there is no such site"
        elif old.lifecycle.state != "retired":
            why = f"{name} is {old.lifecycle.state}"
        else:
            why = f"{site.name} has no prefix of {name}'s"
        yield REUSE_TITLE.at(span, f"{site.name} reuses {name}, but {why}; remove it from reuses")


REUSE = Rule(
    REUSE_TITLE.code,
    REUSE_TITLE.name,
    "a prefix of a retired site is used again only by a site that names it in `reuses`, and only afterwards",
    "A retired site has given its prefix back. Mostly it goes to somebody else, and a new site that has it is a "
    "mistake in the file; sometimes it is the same rack under a new name, and then the new site says so: "
    "reuses: [dfw01]. The day of retirement must not be after the day on which the new site was created, since two "
    "sites cannot have had one prefix at a time. Names in reuses that are not retired or had another prefix are "
    "problems too.",
    across=_reuses,
)
