"""S01 and S13: names are unique, equal their files', and make host names that others can parse.

Host names are products: every experiment name with every machine, in every decoration. If the parts are right and
distinct then so are the products, so parts are checked, some hundreds, instead of forty thousand names.
"""

from __future__ import annotations

from collections.abc import Iterator

from reconcilers.core.errors import ConfigError
from reconcilers.core.model import Diagnostic, Span
from reconcilers.fleet import names
from reconcilers.fleet.model import PUBLISHED_STATES, Experiment, Fleet, MachineSpec, Site, items
from reconcilers.fleet.rules.rule import Absent, Rule, Title, place

STEM_TITLE = Title("S01", "name.unique")
PARSES_TITLE = Title("S13", "name.hostname")
_LONGEST_TAIL = len("-mlab1v4-lga05")


def stem_is_name(name: str, span: Span, at: Span) -> Diagnostic | None:
    """The problem of an object whose name is not its file's stem."""
    folder, _, file = span.file.rpartition("/")
    stem = file.removesuffix(".yaml")
    wanted = name.replace("-{project}", "").replace("{project}-", "")
    if stem in (name, wanted) or not file.endswith(".yaml"):
        return None
    message = f"name {name} is not the file's stem {stem}; rename the file to {folder}/{wanted}.yaml, or the object"
    return STEM_TITLE.at(at, message)


def _stems(fleet: Fleet, _absent: Absent) -> Iterator[Diagnostic]:
    for item in items(fleet):
        problem = stem_is_name(item.name, item.span, place(item.spans, "name", item.span))
        if problem:
            yield problem


def _name_places(experiment: Experiment) -> Iterator[tuple[str, Span]]:
    yield experiment.name, place(experiment.spans, "name", experiment.span)
    for position, alias in enumerate(experiment.aliases):
        yield alias, place(experiment.spans, f"aliases.{position}", experiment.span)


def _unique(fleet: Fleet, _absent: Absent) -> Iterator[Diagnostic]:
    first: dict[str, tuple[str, str, Span]] = {}
    for experiment in fleet.experiments.values():
        for name, span in _name_places(experiment):
            flat = names.flat(name)
            if flat not in first:
                first[flat] = (experiment.name, name, span)
                continue
            owner, other, where = first[flat]
            same = name if name == other else f"{name} (in host names {flat}, like {other})"
            message = f"{same} is already a name or alias of {owner}; choose another one"
            yield STEM_TITLE.at(span, message, related=((where, f"first used by {owner}"),))


def _positions(fleet: Fleet, _absent: Absent) -> Iterator[Diagnostic]:
    yield from _unique(fleet, _absent)
    projects: dict[str, tuple[str, Span]] = {}
    for environment in fleet.environments.values():
        span = place(environment.spans, "project", environment.span)
        if environment.project in projects:
            owner, where = projects[environment.project]
            message = (
                f"project {environment.project} is already reconciled by {owner}; give one project one environment"
            )
            yield STEM_TITLE.at(span, message, related=((where, f"used by {owner}"),))
        projects.setdefault(environment.project, (environment.name, span))


def _hostnames(fleet: Fleet, _absent: Absent) -> Iterator[Diagnostic]:
    domains = sorted({(e.project, e.domain) for e in fleet.environments.values()})
    if not domains:
        return
    project, domain = domains[0]
    sites = [site for site in fleet.sites.values() if site.lifecycle.state in (*PUBLISHED_STATES, "planned")]
    for site in sites:
        for machine in site.machines:
            yield from _machine(site, machine, machine.project or project, domain)
    for experiment in fleet.experiments.values():
        if experiment.index is not None or experiment.cloud:
            yield from _experiment(experiment, project, domain)
    for environment in fleet.environments.values():
        yield from _lengths(
            environment.project, environment.domain, place(environment.spans, "project", environment.span)
        )


def _machine(site: Site, machine: MachineSpec, project: str, domain: str) -> Iterator[Diagnostic]:
    text = names.machine(machine.name, site.name, project, domain)
    try:
        parsed = names.parse(text, domain=domain)
        fine = parsed.version == "v2" and (parsed.machine, parsed.site) == (machine.name, site.name)
        why = "it reads as another machine"
        for decoration in ("", "v4", "v6", "d"):
            names.parse_published(names.machine(machine.name, site.name, project, domain, decoration), domain=domain)
    except ConfigError as error:
        fine, why = False, str(error)
    if not fine:
        yield PARSES_TITLE.at(machine.span, f"{text} is no v2 machine name: {why}; rename the site or machine")


def _experiment(experiment: Experiment, project: str, domain: str) -> Iterator[Diagnostic]:
    for name, span in _name_places(experiment):
        flat = names.flat(name)
        if len(flat) + _LONGEST_TAIL > names.LABEL_LIMIT:
            limit = names.LABEL_LIMIT - _LONGEST_TAIL
            yield PARSES_TITLE.at(
                span, f"{name} has {len(flat)} characters, host names leave room for {limit}; shorten it"
            )
            continue
        text = names.experiment(name, "mlab1", "abc01", project, domain)
        try:
            if "." not in name:
                parsed = names.parse(text, domain=domain)
                if (parsed.version, parsed.service) != ("v2", name):
                    message = f"{text} reads as service {parsed.service!r}, not {name}; choose another name"
                    yield PARSES_TITLE.at(span, message)
            for decoration in ("", "v4", "v6"):
                own = names.experiment(name, "mlab1", "abc01", project, domain, decoration)
                if str(names.parse_published(own, domain=domain)) != own:
                    yield PARSES_TITLE.at(span, f"{own} is not read back as it is written; choose another name")
        except ConfigError as error:
            yield PARSES_TITLE.at(span, f"{text} is no host name: {error}; choose another name")


def _lengths(project: str, domain: str, span: Span) -> Iterator[Diagnostic]:
    for label in (project, *domain.split(".")):
        if len(label) > names.LABEL_LIMIT:
            message = f"label {label[:20]}… has {len(label)} characters, the limit is {names.LABEL_LIMIT}; shorten it"
            yield PARSES_TITLE.at(span, message)


STEM = Rule(
    STEM_TITLE.code,
    STEM_TITLE.name,
    "an object has its file's name, and no two have one name",
    "One object per file, and the file is found by the object's name. Names and aliases of experiments are unique "
    "together, compared as they appear in host names, where a dot is a dash. Each project has one environment. The "
    "part {project} of a bucket's name may be left out of its file's.",
    allowable=False,
    each=_stems,
    across=_positions,
)
PARSES = Rule(
    PARSES_TITLE.code,
    PARSES_TITLE.name,
    "every host name is unique, has labels of at most 63 characters, and can be parsed",
    "Machine names and experiment names without dots parse by the public v2 rules (m-lab/go, package host), which "
    "clients and the pipeline use. Aliases and decorated names (v4, v6, d) are beyond those rules and parse with ours. "
    "Host names are all combinations of experiment, machine and decoration; since the parts are unique (S01) and parse "
    "with one machine, all combinations do.",
    across=_hostnames,
)
