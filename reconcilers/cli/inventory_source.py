"""Where `mlab targets` and `mlab network-config` take machines from: the checkout, or a published `sites.json`."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from reconcilers.cli.session import open_session
from reconcilers.core.errors import ConfigError, UsageError, one_line
from reconcilers.fleet import inventory_sites
from reconcilers.fleet.inventory_sites import Sites
from reconcilers.fleet.model import Environment, Fleet

_SCHEMA = Path(__file__).parents[2] / "schemas" / "published" / "v2-sites-sites.schema.json"


@dataclass(frozen=True, slots=True)
class Inventory:
    """The sites, and the domain of the services if a checkout says it."""

    sites: Sites
    services_domain: str | None


def inventory(given: argparse.Namespace, *, by_index: bool = False) -> Inventory:
    """The sites to choose from. Raises `UsageError` or `ConfigError`."""
    _regular(given.select)
    if given.sites:
        return Inventory(_read(given.sites), None)
    fleet = open_session(given).fleet
    environment = _environment(fleet, given.project)
    sites = inventory_sites.sites(fleet, environment.domain, given.names, by_index=by_index)
    return Inventory(sites, environment.services_domain)


def labels(given: argparse.Namespace) -> Mapping[str, str]:
    """`--label KEY=VALUE` as a mapping. Raises `UsageError`."""
    found = {}
    for text in given.label:
        key, _, value = text.partition("=")
        if text.count("=") != 1 or not key:
            raise UsageError(f"--label {text}: is not KEY=VALUE")
        found[key] = value
    return found


def _environment(fleet: Fleet, project: str) -> Environment:
    """The one whose names are meant: that of the project, or any if all have the same domains."""
    environments = list(fleet.environments.values())
    own = [environment for environment in environments if environment.project == project]
    if project and not own:
        known = ", ".join(sorted(environment.project for environment in environments))
        raise UsageError(f"--project {project}: no environment reconciles it; known: {known}")
    chosen = own or environments
    if len({(environment.domain, environment.services_domain) for environment in chosen}) != 1:
        raise UsageError("the environments have different domains: name one of their projects with --project")
    return chosen[0]


def _regular(select: str) -> None:
    try:
        re.compile(select)
    except re.error as error:
        raise UsageError(f"--select {select}: is no regular expression: {error}") from error


def _read(name: str) -> Sites:
    """A published file, valid by its schema: what another fleet's tools left out would fail machine by machine."""
    import jsonschema_rs

    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--sites {name}: cannot be read: {one_line(str(error))}") from error
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"--sites {name}: is no JSON: {one_line(str(error))}") from error
    checker = jsonschema_rs.validator_for(json.loads(_SCHEMA.read_text()), validate_formats=True)
    problem = next(checker.iter_errors(value), None)
    if problem is not None:
        where = "/".join(map(str, problem.instance_path)) or "the whole"
        raise ConfigError(f"--sites {name}: is no sites.json: {where}: {one_line(problem.message, 160)}")
    sites: Sites = value
    return sites
