"""`mlab adopt --dump`: what is live without a mark, as configuration that a person can commit.

A bucket that nobody asked for becomes a file in `config/buckets/`. Everything else is derived from sites, experiments
and zones: what git wants already is named in `ownership.adopt`, and what it does not want has no file of its own.
Nothing is written at any target.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from reconcilers.cli import keeping, planning, selection
from reconcilers.cli.exits import Exit
from reconcilers.cli.session import Session, open_session
from reconcilers.core.errors import UsageError
from reconcilers.core.model import Observed
from reconcilers.fleet.model import Environment
from reconcilers.importing import text
from reconcilers.load import schema
from reconcilers.load.fleet import SCHEMAS
from reconcilers.providers.buckets import file as buckets_file
from reconcilers.providers.buckets.provider import BucketsProvider


def run(given: argparse.Namespace) -> int:
    """Write the files, print their names and the lines for the environment's file."""
    session = open_session(given, live=True)
    (environment,) = session.environments([given.env])
    written: list[Path] = []
    named: list[str] = []
    with ExitStack() as stack:
        for target, part in selection.chosen(environment, given.names, ()).items():
            desired = session.render(environment, [target])[target]
            work = planning.work(environment, target, desired, part, given.timeout, stack)
            wanted = {resource.id: resource.adopt for resource in desired}
            for item in work.provider.observe(wanted):
                name = f"{target}/{item.id}"
                if item.owner is not None or not part.holds(name) or wanted.get(item.id):
                    continue  # it is somebody's, it was not named, or the next apply takes it over
                if item.id in wanted:
                    named.append(name)
                elif item.id.kind == "Bucket" and isinstance(work.provider, BucketsProvider):
                    written.append(_bucket(session, environment, item, work.provider))
                else:
                    print(f"{name}: configuration holds no such thing by itself; it is left alone", file=sys.stderr)
    if not written and not named:
        raise UsageError(f"{', '.join(given.names)}: nothing of that name is live without a mark; see `mlab plan`")
    _tell(session, environment, written, named)
    return Exit.OK


def _bucket(session: Session, environment: Environment, item: Observed, provider: BucketsProvider) -> Path:
    project = environment.project
    path = session.root / "config" / "buckets" / f"{buckets_file.stem(item.id.name, project)}.yaml"
    if path.exists():
        raise UsageError(f"{path}: is there already, and asks for another bucket than {item.id.name}; rename it first")
    value = buckets_file.data(item.id.name, item.spec, provider.grants(item.id.name), project)
    kind = schema.schemas(SCHEMAS)["Bucket"]
    keeping.whole(path, text.file(value, kind.data, kind.path.name))
    return path


def _tell(session: Session, environment: Environment, written: Sequence[Path], named: Sequence[str]) -> None:
    for path in written:
        print(f"{path.relative_to(session.root)}: written; say its purpose, then `mlab validate` and `mlab plan`")
    if named:
        print(f"# git wants these already: into {environment.span.file}")
        print("\n".join(["ownership:", "  adopt:", *(f"    - {name}" for name in sorted(named))]))
