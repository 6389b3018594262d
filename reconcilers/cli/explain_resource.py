"""`mlab explain RESOURCE`: why a thing exists, from which line, which values came from where, and when it was applied.

What git says is told in any case; the environment's record, the audit lines and the target are asked unless
`--offline`, and where one of them does not answer, that is said in its place.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from reconcilers.cli import planning, recorded
from reconcilers.cli.exits import Exit
from reconcilers.cli.session import Session, open_session
from reconcilers.core import diff, engine
from reconcilers.core.errors import MlabError, UsageError
from reconcilers.core.model import Change, Resource
from reconcilers.core.part import Part
from reconcilers.core.provider import Provider
from reconcilers.fleet.model import Environment
from reconcilers.load import origins
from reconcilers.load import overlay as overlays
from reconcilers.providers.records import Records
from reconcilers.report import text, values

MOST = 12
"""As many resources are told at once; more are only listed."""
_DIFFERENCES = 12

Found = tuple[Environment, str, Resource]


@dataclass(slots=True)
class Story:
    """What is known of one resource, in the order in which it is told: a heading and its lines."""

    name: str
    parts: list[tuple[str, list[str]]] = field(default_factory=list)

    def add(self, heading: str, lines: Sequence[str]) -> None:
        if lines:
            self.parts.append((heading, list(lines)))

    def text(self) -> str:
        shown = [self.name]
        for heading, lines in self.parts:
            shown.append(f"  {heading:<14}{lines[0]}")
            shown += [f"  {'':<14}{line}" for line in lines[1:]]
        return "\n".join(shown)


def run(given: argparse.Namespace) -> int:
    """Tell of each resource that the name fits, in each chosen environment."""
    session = open_session(given, live=not given.offline)
    environments = session.environments(given.env)
    rendered = {environment.name: session.render(environment) for environment in environments}
    found = [
        (environment, target, resource)
        for environment in environments
        for target, resources in rendered[environment.name].items()
        for resource in resources
        if _fits(given.rule, f"{environment.name}/{target}/{resource.id}")
    ]
    if not found:
        raise UsageError(f"{given.rule}: git wants no such resource; `mlab render --json` lists all, globs are allowed")
    if len(found) > MOST:
        names = ", ".join(f"{environment.name}/{target}/{r.id}" for environment, target, r in found[:3])
        raise UsageError(f"{given.rule}: fits {len(found)} resources ({names}, …); name fewer than {MOST + 1}")
    stories = [_story(session, one, rendered, given) for one in found]
    if given.json:
        told = [{"resource": s.name, **dict(s.parts)} for s in stories]
        print(json.dumps(told, indent=1, ensure_ascii=False))
    else:
        print("\n\n".join(story.text() for story in stories))
    return Exit.OK


def _fits(wanted: str, name: str) -> bool:
    """A whole name, or what it ends in: `epoxy/Host/x`, `Host/x`, `x`."""
    return name == wanted or fnmatch.fnmatchcase(name, wanted) or fnmatch.fnmatchcase(name, f"*/{wanted}")


def _story(
    session: Session,
    one: Found,
    rendered: Mapping[str, Mapping[str, Sequence[Resource]]],
    given: argparse.Namespace,
) -> Story:
    environment, target, resource = one
    story = Story(f"{environment.name}/{target}/{resource.id}")
    story.add("because of", list(origins.line(session.root, resource.span)))
    story.add("environment", [f"{environment.span.file} (project {environment.project})"])
    story.add("overlay", list(_overlay(session, environment, target)))
    story.add("ownership", list(_ownership(environment, resource, f"{target}/{resource.id}")))
    story.add("values", list(origins.values(session.root, resource, environment)))
    siblings = rendered[environment.name][target]
    story.add("needs", sorted(str(identity) for identity in resource.deps))
    story.add("needed by", [str(other.id) for other in siblings if resource.id in other.deps])
    story.add("elsewhere", list(_elsewhere(one, rendered)))
    if not given.offline:
        story.add("applied", list(_applied(environment, target, resource)))
        story.add("live", list(_live(session, one, given)))
    return story


def _overlay(session: Session, environment: Environment, target: str) -> Iterator[str]:
    patch = ((session.overlay or {}).get("environments") or {}).get(environment.name, {})
    touched = [key for key in ("project", "domain") if key in patch]
    touched += [f"targets.{target}"] if target in patch.get("targets", {}) else []
    if touched:
        yield f"{session.state / 'platform' / 'platform.json'}: {', '.join(touched)} (the platform on this machine)"
    if "images" in patch and target == "buckets":
        yield f"{session.state / overlays.IMAGES}: releases that were built here"


def _ownership(environment: Environment, resource: Resource, name: str) -> Iterator[str]:
    for key, entries in (environment.data.get("ownership") or {}).items():
        for number, entry in enumerate(entries):
            glob = entry if isinstance(entry, str) else entry.get("match") or entry["to"]
            if fnmatch.fnmatchcase(name, glob):
                yield f"{key} {glob}   {environment.spans.get(f'ownership.{key}.{number}', environment.span)}"
    if resource.protect:
        yield "protected: deleting it needs its live mark to go first"


def _elsewhere(one: Found, rendered: Mapping[str, Mapping[str, Sequence[Resource]]]) -> Iterator[str]:
    """The same resource in other environments, and in what it differs there."""
    environment, target, resource = one
    for name, wanted in rendered.items():
        other = next((r for r in wanted.get(target, ()) if r.id == resource.id), None)
        if name == environment.name or other is None:
            continue
        found = diff.fields(dict(other.spec), dict(resource.spec), sensitive=resource.sensitive)
        lines = [line for difference in found for line in values.lines(difference)]
        yield f"{name}: {'the same' if not lines else lines[0]}"
        yield from (f"  {line}" for line in lines[1:_DIFFERENCES])


def _applied(environment: Environment, target: str, resource: Resource) -> Iterator[str]:
    scope = f"{environment.name}/{target}"
    records = Records(environment)
    try:
        document, _ = records.read_applied(environment.name)
        state = (document or {}).get("scopes", {}).get(scope, {})
        if not state.get("commit"):
            yield f"{scope} was never applied whole"
        else:
            yield f"{scope} runs {state['commit'][:7]} since {state.get('finished', '?')}, {state.get('result')}"
        last = records.last_change(environment.name, scope, str(resource.id))
        if last is not None:
            yield f"this was last written {last['ts']}: {last['action']} of {last['commit'][:7]} by {last['actor']}"
        else:
            yield "no audit line tells of a write of this"
    except MlabError as error:
        yield f"not known: {error}"
    finally:
        records.close()


def _live(session: Session, one: Found, given: argparse.Namespace) -> Iterator[str]:
    environment, target, resource = one
    with ExitStack() as stack:
        part = Part((f"{target}/{resource.id}",))
        desired = session.render(environment, [target])[target]
        try:
            work = planning.work(
                environment, target, desired, part, given.timeout, stack, recorded.in_git(environment, target)
            )
            plan = engine.observe(work, planning.retry_policy(given), session.bugs)
        except MlabError as error:
            yield f"not known: {error}"
            return
        if not plan.complete:
            yield f"not known: {'; '.join(plan.problems)}"
            return
        change: Change | None = next(iter(plan.changes), None)
        if change is None:
            yield plan.paused or "as git wants it"
            if not plan.paused:
                yield from _said(work.provider, resource)
            return
        yield from (line.strip() for line in text.changes((change,), verbose=True))


def _said(provider: Provider, resource: Resource) -> Iterator[str]:
    """What the target has to say of a thing that is as wanted: a host's last boot, an order for its next one."""
    try:
        told = provider.health(resource.id).message
    except MlabError as error:
        told = f"not known: {error}"
    if told:
        yield told
