"""S15 and S16: what an inventory kept by hand gets wrong unnoticed: stray quotes, machines half described.

Rules and not schema, so that a site that came in with such a value can be kept as it is and say so (`allow`).
"""

from __future__ import annotations

from collections.abc import Iterator

from reconcilers.core.model import Diagnostic
from reconcilers.fleet.model import Fleet
from reconcilers.fleet.rules.rule import Absent, Rule, Title, place

TEXTS_TITLE = Title("S15", "site.clean-text")
MACHINES_TITLE = Title("S16", "site.machine-described")
_QUOTES = "\"'`“”„‘’«»"
_ANYWHERE = '"“”„«»'
"""Marks that no name of a town or a network holds; an apostrophe inside one is right (L'Aquila)."""


def _texts(fleet: Fleet, _absent: Absent) -> Iterator[Diagnostic]:
    for site in fleet.sites.values():
        texts = (("location.city", site.location.city), ("transit.provider", site.transit.provider))
        for path, text in texts:
            fault = _fault(text)
            if fault:
                message = f"{path} of {site.name} is {text!r}: it {fault}; write the name alone"
                yield TEXTS_TITLE.at(place(site.spans, path, site.span), message)


def _fault(text: str) -> str:
    if text != text.strip():
        return "begins or ends with a space"
    if text[:1] in _QUOTES or text[-1:] in _QUOTES:
        return "begins or ends with a quotation mark"
    return "holds a quotation mark" if any(mark in text for mark in _ANYWHERE) else ""


def _machines(fleet: Fleet, _absent: Absent) -> Iterator[Diagnostic]:
    for site in fleet.sites.values():
        for machine in site.machines:
            fields = (("model", machine.model), ("disk", machine.disk), ("iface", machine.iface))
            missing = [name for name, value in fields if not value]
            if missing:
                span = place(site.spans, f"machines.{machine.name}.{missing[0]}", machine.span)
                what = " and ".join((", ".join(missing[:-1]), missing[-1]) if missing[1:] else missing)
                message = f"{machine.name} of {site.name} has no {what}; write what the machine has"
                yield MACHINES_TITLE.at(span, message)


TEXTS = Rule(
    TEXTS_TITLE.code,
    TEXTS_TITLE.name,
    "city and provider are names, without quotation marks or spaces around them",
    "Both texts are published as they stand and shown to the public. A quotation mark at either end is left over from "
    "an edit; a double one inside breaks programs that put the text between quotes. An apostrophe inside is fine.",
    each=_texts,
)
MACHINES = Rule(
    MACHINES_TITLE.code,
    MACHINES_TITLE.name,
    "each machine has a model, a disk and a network interface",
    "Disk and interface have defaults (sda and eth0; on virtual machines pd-ssd and ens4), so leaving them out is "
    "right for most machines. null says that nobody recorded what the machine has, and the published files then leave "
    "the field out. The model has no default.",
    each=_machines,
)
