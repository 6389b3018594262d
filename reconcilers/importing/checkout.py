"""Reads a checkout of an inventory in siteinfo's form: `sites/*.jsonnet`, the two lists, the experiments.

Every site file is evaluated by itself with our own engine, so that all faulty files are told in one run. Which list
names a site decides its state; a file that neither list names is `unlisted`, and nothing is skipped.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reconcilers.core.errors import ConfigError, UsageError
from reconcilers.core.model import Diagnostic, Span
from reconcilers.fleet.derive import Entry
from reconcilers.importing.inventory import (
    Described,
    Inventory,
    State,
    domain_of,
    entry,
    hosts_of,
    objects,
    problem,
    refuse,
)
from reconcilers.load.jsonnet import Engine

LISTS: tuple[tuple[str, State], ...] = (("sites.jsonnet", "active"), ("retired.jsonnet", "retired"))
EXPERIMENTS = "experiments.jsonnet"
_VARIABLES = {"version": "v2"}
_NAMES = "function(sites) [site.name for site in sites]"
_LIST = "function(list) list"
# The site as the published file shows it. Experiments are derived on one machine: on the others they differ by the
# machine's own address, which is derived for all.
_SITE = """function(site)
  local experiments = %s;
  local machines = if std.objectHasAll(site, 'machines') then std.objectFields(site.machines) else [];
  site {
    nodes: if !std.objectHasAll(site, 'Machine') then [] else [
      local machine = site.Machine(name);
      {
        hostname: machine.Hostname(),
        v4: { ip: machine.v4.ip },
        v6: { ip: machine.v6.ip },
        experiments: if name != machines[0] then [] else [
          { hostname: found.hostname, v4: { ip: found.v4.ip }, v6: { ip: found.v6.ip } }
          for found in [site.Experiment(name, experiment) for experiment in experiments]
          if found != null
        ],
      }
      for name in machines
    ],
  }
"""


def read(path: Path) -> Inventory:
    """The inventory of a checkout. Raises `UsageError` for a folder that is none, `ConfigError` with all problems."""
    wanted = (*(name for name, _ in LISTS), EXPERIMENTS, "sites")
    missing = [name for name in wanted if not (path / name).exists()]
    if missing:
        raise UsageError(
            f"{path}: no {' and no '.join(missing)} here; name a checkout of an inventory in siteinfo's form"
        )
    engine = Engine(path, None, shown=path.name or "inventory")
    reader = _Reader(engine)
    states = reader.states()
    experiments = reader.experiments()
    sites = [reader.site(file.stem, states, experiments) for file in _files(path)]
    known = {site.name for site in sites if site}
    for name in states.keys() - known - reader.failed:
        listed = next(file for file, state in LISTS if state == states[name])
        reader.problems.append(
            problem(listed, f"{name} is listed, but there is no sites/{name}.jsonnet; add or remove it")
        )
    if not sites and not reader.problems:
        reader.problems.append(problem("sites", "holds no *.jsonnet file of a site"))
    if reader.problems:
        raise refuse(sorted(reader.problems, key=lambda found: (found.span, found.message)))
    described = tuple(site for site in sites if site)
    return Inventory(str(path), described, experiments, domain_of(described))


def _files(path: Path) -> Iterator[Path]:
    """One file a site; those that begin with an underscore are what sites are made from."""
    return (file for file in sorted((path / "sites").glob("*.jsonnet")) if not file.name.startswith("_"))


class _Reader:
    """Evaluates file after file and keeps what went wrong."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.problems: list[Diagnostic] = []
        self.failed: set[str] = set()

    def _value(self, file: str, call: str) -> Any:
        try:
            return self._engine.inspect(file, call, _VARIABLES, source=Span(file))
        except ConfigError as error:
            said = [problem(str(found.span), found.message) for found in error.problems]
            self.problems += said or [problem(file, str(error))]
            return None

    def states(self) -> dict[str, State]:
        """What each list says; a site in both is a contradiction that only a person can settle."""
        states: dict[str, State] = {}
        for file, state in LISTS:
            for name in self._value(file, _NAMES) or ():
                if states.setdefault(name, state) != state:
                    message = f"{name} is in {LISTS[0][0]} and in {LISTS[1][0]}; take it out of one of them"
                    self.problems.append(problem(file, message))
        return states

    def experiments(self) -> tuple[Entry, ...]:
        """The list of experiments in its order."""
        return tuple(entry(item) for item in objects(self._value(EXPERIMENTS, _LIST)))

    def site(self, stem: str, states: dict[str, State], experiments: tuple[Entry, ...]) -> Described | None:
        """One site file; None with a problem noted."""
        file = f"sites/{stem}.jsonnet"
        listed = [
            {"name": e.name, "index": e.index, "cloud_enabled": e.cloud, "ipv6_enabled": e.ipv6} for e in experiments
        ]
        document = self._value(file, _SITE % json.dumps(listed))
        if not isinstance(document, dict):
            if document is not None:
                self.problems.append(problem(file, "is no object; a site file is one"))
            self.failed.add(stem)
            return None
        if document.get("name") != stem:
            self.problems.append(problem(file, f"names itself {document.get('name')!r}; rename the file or the site"))
            self.failed.add(stem)
            return None
        nodes = document.pop("nodes")
        return Described(stem, states.get(stem, "unlisted"), document, tuple(hosts_of(nodes)), file)
