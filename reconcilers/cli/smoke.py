"""`mlab smoke`: is an environment as it was applied, and does it work? Asked between one environment and the next.

Its own record is asked, then every target, then what those see whom it serves. With `--for` it is asked again and
again: what is found twice in a row ends the soak, what goes away by itself does not.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from reconcilers.cli import planning
from reconcilers.cli.exits import Exit, worst
from reconcilers.cli.session import Session, open_session
from reconcilers.core.engine import Work
from reconcilers.core.errors import MlabError
from reconcilers.core.model import HealthState, Resource
from reconcilers.fleet.model import Environment
from reconcilers.providers import consumers

PER_KIND = 40
"""As many resources of a kind are asked for their health; a fleet has thousands of records that fail alike."""


def run(given: argparse.Namespace) -> int:
    """Exit 0 if everything holds for as long as was asked, 4 if anything does not."""
    session = open_session(given, live=True)
    given.target, given.exclude, given.ack = [], [], []
    found = {environment.name: _soaked(session, environment, given) for environment in session.environments(given.env)}
    if given.json:
        print(json.dumps(found, indent=1, ensure_ascii=False))
    else:
        for name, problems in found.items():
            for problem in problems:
                print(f"{name}: {problem}")
            if not problems:
                print(f"{name}: as applied, healthy, and read by those whom it serves")
    status = Exit.INCOMPLETE if any(found.values()) else Exit.OK
    return worst([status, session.bugs.told()])


def _soaked(session: Session, environment: Environment, given: argparse.Namespace) -> list[str]:
    until = time.monotonic() + given.soak_s
    former: list[str] = []
    while True:
        problems = list(_problems(session, environment, given))
        again = [problem for problem in problems if problem in former]
        left = until - time.monotonic()
        if left <= 0:
            return problems
        if again:
            return again
        for problem in problems:
            print(f"{environment.name}: {problem}; asking once more", file=sys.stderr)
        former = problems
        time.sleep(min(given.every, left))


def _problems(session: Session, environment: Environment, given: argparse.Namespace) -> Iterator[str]:
    with ExitStack() as stack:
        planned = planning.make(session, environment, given, stack)
        yield from _unlike_the_record(planned)
        for plan in planned.made.plans:
            yield from (f"{plan.scope}: not observed: {problem}" for problem in plan.problems)
            open_changes = [change for change in plan.changes if not change.blocked]
            if open_changes:
                first = ", ".join(str(change.id) for change in open_changes[:3])
                yield f"{plan.scope}: {len(open_changes)} changes are not applied ({first})"
        for work, plan in zip(planned.works, planned.made.plans, strict=True):
            if plan.complete and not plan.paused:
                changed = {change.id for change in plan.changes}
                yield from _unhealthy(work, [r for r in work.desired if r.id not in changed])
                if work.scope.endswith("/buckets"):
                    yield from (f"{work.scope}/{line}" for line in consumers.unreadable(environment, work.desired))
                if work.scope.endswith("/monitoring"):
                    yield from (f"{work.scope}: {line}" for line in consumers.paging(environment))


def _unlike_the_record(planned: planning.Planned) -> Iterator[str]:
    """A scope that last ran another commit than the one that is checked out, or did not run it well."""
    if all(plan.paused for plan in planned.made.plans):
        return
    if planned.known.applied is None:
        yield planned.known.applied_error or "nothing is on record as applied"
        return
    known = planned.known.applied.get("scopes", {})
    for plan in planned.made.plans:
        state = known.get(plan.scope, {})
        if plan.paused:
            continue
        if state.get("commit") != planned.made.commit:
            runs = str(state.get("commit") or "nothing")[:7]
            yield f"{plan.scope}: it runs {runs}, and {planned.made.commit[:7]} is checked out"
        elif state.get("result") not in ("ok", "partial"):
            yield f"{plan.scope}: its last apply ended {state.get('result')}"


def _unhealthy(work: Work, resources: list[Resource]) -> Iterator[str]:
    by_kind: dict[str, list[Resource]] = defaultdict(list)
    for resource in resources:
        by_kind[resource.id.kind].append(resource)
    asked = [r for found in by_kind.values() for r in consumers.sampled(found, PER_KIND)]
    with ThreadPoolExecutor(max(1, work.provider.capabilities.max_concurrency)) as pool:
        yield from filter(None, pool.map(lambda resource: _health(work, resource), asked))


def _health(work: Work, resource: Resource) -> str:
    name = f"{work.scope}/{resource.id}"
    try:
        health = work.provider.health(resource.id)
    except MlabError as error:
        return f"{name}: its health is not known: {error}"
    return "" if health.state is HealthState.CURRENT else f"{name}: {health.state}: {health.message}"
