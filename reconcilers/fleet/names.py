"""Names of machines, experiments, baseboard controllers and switches: printed and parsed.

Two parsers, because two contracts exist. `parse` is the one that programs of the public platform share (m-lab/go,
package host): v1 `mlab1.lga05.DOMAIN`, v2 `ndt-mlab1-lga05.PROJECT.DOMAIN[-SUFFIX]`, v3
`ndt-lga3356-040e9f4b.ORG.PROJECT.DOMAIN`. It refuses names that the fleet does publish: aliases with a dash
(`ndt-iupui-mlab1-lga05`), decorated names (`mlab1v4-lga05`) and switches. `parse_published` reads exactly those that
the printers below write. Neither knows which sites or experiments exist.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from reconcilers.core.errors import ConfigError

PUBLIC_DOMAIN = "measurement-lab.org"
LABEL_LIMIT = 63
THIRD_PARTY = "third-party"

Version = Literal["v1", "v2", "v3"]
Decoration = Literal["", "v4", "v6", "d"]
Record = Literal["machine", "experiment", "bmc", "switch"]


@dataclass(frozen=True, slots=True)
class Name:
    """A name as m-lab/go takes it apart; a v1 name loses its service, `suffix` keeps its leading dash."""

    machine: str
    site: str
    version: Version
    project: str = ""
    domain: str = ""
    service: str = ""
    org: str = ""
    suffix: str = ""

    def __str__(self) -> str:
        """The machine alone, without suffix; a v3 name keeps its service, since that is the machine's name there."""
        if self.version == "v3":
            service = f"{self.service}-" if self.service else ""
            return f"{service}{self.site}-{self.machine}.{self.org}.{self.project}.{self.domain}"
        if self.version == "v2":
            if not self.domain:
                return f"{self.machine}-{self.site}"
            return f"{self.machine}-{self.site}.{self.project}.{self.domain}"
        return f"{self.machine}.{self.site}.{self.domain}"

    def with_service(self) -> str:
        """The name with its service and without its suffix."""
        if self.version == "v3" or not self.service:
            return str(self)
        return f"{self.service}-{self}"

    def with_suffix(self) -> str:
        """The machine with the suffix that an instance group gave it."""
        return f"{self}{self.suffix}"

    def full(self) -> str:
        """Everything that was parsed; the inverse of `parse` for v2 and v3."""
        return f"{self.with_service()}{self.suffix}"


@dataclass(frozen=True, slots=True)
class Published:
    """A name that the fleet publishes. `experiment` is flat (`ndt-iupui`): the dots of an alias do not come back."""

    record: Record
    site: str
    domain: str
    machine: str = ""
    project: str = ""
    experiment: str = ""
    decoration: Decoration = ""

    def __str__(self) -> str:
        if self.record == "switch":
            return switch(self.site, self.domain)
        if self.record == "experiment":
            return experiment(self.experiment, self.machine, self.site, self.project, self.domain, self.decoration)
        return machine(self.machine, self.site, self.project, self.domain, self.decoration)


class BadName(ConfigError):
    """A text that is no name of the fleet."""


_V1 = re.compile(r"(?:[a-z0-9.-]+[-.])?(mlab[1-4]d?)[-.]([a-z]{3}[0-9tc]{2})")
_V2_MACHINE = re.compile(r"[A-Za-z0-9]{4}[0-9]|[A-Za-z0-9]{5}d")
_V2_SITE = re.compile(r"[A-Za-z0-9]{3}[0-9][0-9t]")
_V3_SITE = re.compile(r"[A-Za-z]{3}[0-9]{1,10}")
_V3_MACHINE = re.compile(r"[A-Za-z0-9]{8}")
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?")
_PUBLISHED = re.compile(
    r"(?:(?P<experiment>[a-z][a-z0-9]*(?:-[a-z0-9]+)*)-)?"
    r"(?P<machine>mlab[1-4])(?P<decoration>d|v4|v6)?-(?P<site>[a-z]{3}[0-9][0-9t])"
)
_SWITCH = re.compile(r"s1-(?P<site>[a-z]{3}[0-9][0-9t])")


def parse(text: str, *, domain: str = PUBLIC_DOMAIN) -> Name:
    """Take a name apart as m-lab/go does, under any domain. Raises `ConfigError`.

    Stricter than the original where that is an accident: a v3 name must be of the domain, no part may be empty.
    """
    if text == THIRD_PARTY:
        return Name(machine="third", site="party", version="v2")
    fields, suffix = _fields(text, domain)
    if len(fields) == 3:
        if suffix:
            raise _refused(text, "only a v2 name may have a suffix")
        return _parse_v3(text, fields, domain)
    if len(fields) == 2 and len(fields[0]) > 6:
        return _parse_v2(text, fields, domain, suffix)
    return _parse_v1(text, fields, domain, suffix)


def _fields(text: str, domain: str) -> tuple[list[str], str]:
    """The labels before the domain, and the instance suffix after it (with its dash)."""
    head, found, tail = text.rpartition(f".{domain}")
    if not found or not head:
        raise _refused(text, f"it is not under the domain {domain}")
    if tail and not (tail[0] == "-" and tail[1:].isascii() and tail[1:].isalnum()):
        raise _refused(text, f"what follows the domain {domain} is not one suffix")
    fields = head.split(".")
    if len(fields) > 4:
        raise _refused(text, "it has too many labels")
    return fields, tail


def _parse_v1(text: str, fields: list[str], domain: str, suffix: str) -> Name:
    found = None if suffix else _V1.fullmatch(".".join(fields))
    if found is None:
        raise _refused(text, "a v1 name is [EXPERIMENT.]mlab[1-4][d].SITE without a suffix")
    return Name(machine=found[1], site=found[2], version="v1", domain=domain)


def _parse_v2(text: str, fields: list[str], domain: str, suffix: str) -> Name:
    parts = fields[0].split("-")
    if len(parts) not in (2, 3) or not all(parts):
        raise _refused(text, "a v2 name starts with [SERVICE-]MACHINE-SITE")
    service = parts[0] if len(parts) == 3 else ""
    machine_part, site = parts[-2:]
    if not _V2_MACHINE.fullmatch(machine_part):
        raise _refused(text, f"{machine_part!r} is no machine (five characters and a last digit, then d for a BMC)")
    if not _V2_SITE.fullmatch(site):
        raise _refused(text, f"{site!r} is no site (three letters, a digit, a digit or t)")
    if not _LABEL.fullmatch(fields[1]):
        raise _refused(text, f"{fields[1]!r} is no project")
    return Name(
        machine=machine_part,
        site=site,
        version="v2",
        project=fields[1],
        domain=domain,
        service=service,
        org="mlab",
        suffix=suffix,
    )


def _parse_v3(text: str, fields: list[str], domain: str) -> Name:
    parts = fields[0].split("-")
    if len(parts) not in (2, 3) or not all(parts):
        raise _refused(text, "a v3 name starts with [SERVICE-]SITE-MACHINE")
    service = parts[0] if len(parts) == 3 else ""
    site, machine_part = parts[-2:]
    if not _V3_SITE.fullmatch(site):
        raise _refused(text, f"{site!r} is no v3 site (three letters and an AS number of 1 to 10 digits)")
    if not _V3_MACHINE.fullmatch(machine_part):
        raise _refused(text, f"{machine_part!r} is no v3 machine (8 characters, the IPv4 address in hex)")
    if not (_LABEL.fullmatch(fields[1]) and _LABEL.fullmatch(fields[2])):
        raise _refused(text, "organisation and project must be labels")
    return Name(
        machine=machine_part,
        site=site,
        version="v3",
        project=fields[2],
        domain=domain,
        service=service,
        org=fields[1],
    )


def parse_published(text: str, *, domain: str) -> Published:
    """Take apart what the printers of this module write, aliases and decorated names too. Raises `ConfigError`."""
    head, found, tail = text.rpartition(f".{domain}")
    if not found or tail:
        raise _refused(text, f"it is not under the domain {domain}")
    label, dot, project = head.partition(".")
    if not dot:
        match = _SWITCH.fullmatch(label)
        if match is None:
            raise _refused(text, "only a switch, s1-SITE, stands directly under the domain")
        return Published(record="switch", site=match["site"], domain=domain)
    match = _PUBLISHED.fullmatch(label)
    if match is None or not _LABEL.fullmatch(project):
        raise _refused(text, "a published name is [EXPERIMENT-]mlab[1-4][d|v4|v6]-SITE.PROJECT")
    flat = match["experiment"] or ""
    decoration = match["decoration"] or ""
    if decoration == "d" and flat:
        raise _refused(text, "an experiment has no baseboard controller")
    record: Record = "experiment" if flat else ("bmc" if decoration == "d" else "machine")
    return Published(
        record=record,
        site=match["site"],
        domain=domain,
        machine=match["machine"],
        project=project,
        experiment=flat,
        decoration=_decoration(decoration),
    )


def _decoration(text: str) -> Decoration:
    for known in ("v4", "v6", "d"):
        if text == known:
            return known
    return ""


def _refused(text: str, why: str) -> BadName:
    return BadName(f"{text[:80]!r} is no hostname of the fleet: {why}")


def flat(experiment_name: str) -> str:
    """The experiment as one piece of a label: `ndt.iupui` is `ndt-iupui`."""
    return experiment_name.replace(".", "-")


def machine(name: str, site: str, project: str, domain: str, decoration: Decoration = "") -> str:
    """The v2 name of a machine; decorated `v4` or `v6` it has one address family, `d` it is the BMC."""
    return f"{name}{decoration}-{site}.{project}.{domain}"


def bmc(name: str, site: str, project: str, domain: str) -> str:
    """The v2 name of a machine's baseboard controller."""
    return f"{name}d-{site}.{project}.{domain}"


def experiment(
    experiment_name: str, name: str, site: str, project: str, domain: str, decoration: Decoration = ""
) -> str:
    """The v2 name of an experiment on a machine."""
    return f"{experiment_name.replace('.', '-')}-{name}{decoration}-{site}.{project}.{domain}"


def switch(site: str, domain: str) -> str:
    """The v2 name of a site's switch; never under a project."""
    return f"s1-{site}.{domain}"


def machine_v1(name: str, site: str, domain: str, decoration: Decoration = "") -> str:
    """The retired dotted name of a machine."""
    return f"{name}{decoration}.{site}.{domain}"


def experiment_v1(experiment_name: str, name: str, site: str, domain: str, *, flattened: bool = False) -> str:
    """The retired name of an experiment; flattened into one label so that a wildcard certificate covers it."""
    if flattened:
        return f"{flat(experiment_name)}-{name}-{site}.{domain}"
    return f"{experiment_name}.{name}.{site}.{domain}"


def switch_v1(site: str, domain: str) -> str:
    """The retired name of a site's switch."""
    return f"s1.{site}.{domain}"
