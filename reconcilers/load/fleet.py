"""From `config/` to the fleet: everything is read, all problems are found in one run, sorted by place.

Layers: file, syntax, schema, one object, across objects. What fails a layer is left out of the next ones and of the
fleet, and the rules across objects are told its name, so that a typing error in one file is one problem and not ten.
A fleet is returned even with problems; whoever plans or applies must refuse it (`Loaded.require`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, TypeVar

import reconcilers
from reconcilers.core import collector
from reconcilers.core.errors import ConfigError
from reconcilers.core.model import Diagnostic, Span
from reconcilers.fleet import rules
from reconcilers.fleet.model import Entity, Environment, Experiment, Fleet, Site
from reconcilers.fleet.past import Times
from reconcilers.fleet.rules.hostnames import STEM_TITLE, stem_is_name
from reconcilers.fleet.rules.rule import Absent, Rule, nothing, timeless
from reconcilers.fleet.rules.silences import Silences
from reconcilers.load import build, codes, parse, past, schema, source_files
from reconcilers.load.document import Document
from reconcilers.load.source_files import Source

T = TypeVar("T")
SCHEMAS = Path(reconcilers.__file__).parents[1] / "schemas"


@dataclass(frozen=True, slots=True)
class Loaded:
    """The fleet, what is wrong with it, and the files it was read from (relative to the root).

    `problems` are errors. `warnings` will be errors one day, `notes` are remarks that nobody has to act on; neither
    makes a configuration invalid.
    """

    fleet: Fleet
    problems: tuple[Diagnostic, ...]
    files: tuple[str, ...]
    times: Times
    warnings: tuple[Diagnostic, ...] = ()
    notes: tuple[Diagnostic, ...] = ()

    def require(self) -> Fleet:
        """The fleet of a configuration without problems. Raises `ConfigError` that carries all of them."""
        if not self.problems:
            return self.fleet
        count = len(self.problems)
        files = len({problem.span.file for problem in self.problems})
        message = f"the configuration has {count} problem{'s'[: count != 1]} in {files} file{'s'[: files != 1]}"
        raise ConfigError(message, self.problems)


@dataclass(slots=True)
class _Work:
    """What accumulates while the layers run."""

    problems: list[Diagnostic] = field(default_factory=list)
    notes: list[Diagnostic] = field(default_factory=list)
    objects: dict[str, dict[str, build.Built]] = field(default_factory=dict)
    failed: dict[str, set[str]] = field(default_factory=dict)
    documents: dict[str, Document] = field(default_factory=dict)

    def fail(self, folder: str, *names: str) -> None:
        self.failed.setdefault(folder, set()).update(names)

    def absent(self) -> Absent:
        return Absent({folder: frozenset(names) for folder, names in self.failed.items()})


def load(
    root: Path,
    *,
    overlay: Mapping[str, Any] | None = None,
    only: Collection[Path] | None = None,
    today: date | None = None,
    use_cache: bool = True,
    schemas: Path = SCHEMAS,
) -> Loaded:
    """Read the configuration below `root`.

    `overlay` patches environments (`{"environments": {NAME: {...}}}`), as a platform on one machine does with its
    addresses. With `only`, just these files are read and judged one by one; nothing across files is. `today` (default:
    the day it is in UTC) decides which rules are warnings still. `use_cache` is whether git's log may be kept.
    """
    times = Times(today or datetime.now(UTC).date())
    with collector.paused():
        return _load(root, overlay, only, times, use_cache, schemas)


def _load(
    root: Path,
    overlay: Mapping[str, Any] | None,
    only: Collection[Path] | None,
    times: Times,
    use_cache: bool,
    schemas: Path,
) -> Loaded:
    known = schema.schemas(schemas)
    sources, found = source_files.find(root)
    work = _Work()
    if only is None:
        work.problems += found
    else:
        sources, strays = _chosen(root, sources, only)
        work.problems += [problem for problem in found if problem.span.file in strays]
        unread = strays - {source.file for source in sources} - {problem.span.file for problem in found}
        message = "is no file of config/; name one that is there"
        work.problems += [codes.FILE.at(Span(file), message) for file in unread]
    for source in sources:
        _one(source, root, known, work)
    fleet = _fleet(work.objects)
    silences = Silences(fleet, rules.ALL)
    remarks = rules.dated(silences.keep(rules.check_each(fleet, work.absent())), times.today)
    for problem in remarks:
        if problem.severity == "error":
            _drop(work, problem.span.file)
    fleet = _fleet(work.objects)
    if only is None:
        times, unchecked = _with_past(root, fleet, times, use_cache)
        work.notes += unchecked
        remarks += rules.dated(silences.keep(rules.check_across(fleet, work.absent())), times.today)
    remarks += rules.dated(silences.keep(rules.check_over_time(fleet, work.absent(), times)), times.today)
    whole = only is None and not work.failed
    remarks += silences.problems(lambda rule: _judged(rule, whole=whole, past=times.past is not None))
    remarks = [_ranged(problem, work.documents) for problem in remarks]
    work.problems += [problem for problem in remarks if problem.severity == "error"]
    fleet, patched = _patch(fleet, overlay or {}, known, work.documents)
    work.problems += patched
    return Loaded(
        fleet=fleet,
        problems=tuple(sorted(work.problems, key=rules.order)),
        files=tuple(source.file for source in sources),
        times=times,
        warnings=tuple(sorted((p for p in remarks if p.severity == "warning"), key=rules.order)),
        notes=tuple(sorted((*work.notes, *(p for p in remarks if p.severity == "note")), key=rules.order)),
    )


def _with_past(root: Path, fleet: Fleet, times: Times, use_cache: bool) -> tuple[Times, list[Diagnostic]]:
    """The times with git's history, or the notice that there is none, and for which rules."""
    known, why = past.read(root, fleet, cache=past.default_cache() if use_cache else None)
    if known is not None:
        return replace(times, past=known), []
    names = ", ".join(f"{rule.code} {rule.name}" for rule in rules.ALL if rule.needs_history)
    return times, [codes.HISTORY.at(Span("config"), f"not checked: no history ({why}): {names}", severity="note")]


def _judged(rule: Rule, *, whole: bool, past: bool) -> bool:
    """Whether all parts of a rule saw all that they look at, so that a silence can be called unused."""
    alone = rule.across is nothing and rule.over_time is timeless
    return alone or (whole and (past or not rule.needs_history))


def _ranged(problem: Diagnostic, documents: Mapping[str, Document]) -> Diagnostic:
    """A rule knows where a value begins; its file knows where it ends."""
    document = documents.get(problem.span.file)
    return replace(problem, end=document.end_at(problem.span)) if document and not problem.end[0] else problem


def _chosen(root: Path, sources: list[Source], only: Collection[Path]) -> tuple[list[Source], set[str]]:
    wanted: set[str] = set()
    for path in only:
        full = (path if path.is_absolute() else root / path).absolute()
        for base in (root.absolute(), root.resolve()):
            if full.is_relative_to(base):
                wanted.add(str(full.relative_to(base)))
                break
        else:
            wanted.add(str(path))
    return [source for source in sources if source.file in wanted], wanted


def _one(source: Source, root: Path, known: Mapping[str, schema.Schema], work: _Work) -> None:
    """Layers file, syntax, schema and building for one file."""
    data, unreadable = source_files.read(source, root)
    if unreadable:
        work.problems.append(unreadable)
        work.fail(source.folder, source.stem)
        return
    document, problems = parse.parse(data, source.file)
    if document is None:
        work.problems += problems
        work.fail(source.folder, source.stem)
        return
    kind, wrong = schema.kind_of(document, source.folder)
    if wrong:
        work.problems.append(wrong)
        work.fail(source.folder, source.stem)
        return
    if kind not in known:
        raise ConfigError(f"schemas/ describes no {kind}; the installation is incomplete")
    problems = schema.validate(document, known[kind])
    built: build.Built | None = None
    if not problems:
        built, problems = build.build(document, kind, known[kind].complete(document.value))
    name = document.value.get("name")
    name = name if isinstance(name, str) else source.stem
    if isinstance(document.value.get("name"), str):
        stem = stem_is_name(name, document.span(()), document.span(("name",)))
        problems += [stem] if stem else []
    part = "routing" if kind == "AlertRouting" else source.folder
    twin = work.objects.get(part, {}).get(name)
    if twin is not None:
        message = f"name {name} is already the one of {twin.span.file}; remove one of the files"
        problems.append(STEM_TITLE.at(document.span(("name",)), message, related=((twin.span, "first one"),)))
    if problems or built is None:
        work.problems += problems
        work.fail(source.folder, source.stem, name, *_aliases(document))
        return
    work.documents[source.file] = document
    work.objects.setdefault(part, {})[name] = built


def _aliases(document: Document) -> list[str]:
    aliases = document.value.get("aliases")
    return [alias for alias in aliases if isinstance(alias, str)] if isinstance(aliases, list) else []


def _drop(work: _Work, file: str) -> None:
    """Leave an object out that one of its own rules rejects."""
    for part, items in work.objects.items():
        for name in [name for name, item in items.items() if item.span.file == file]:
            work.fail("alerts" if part == "routing" else part, name)
            del items[name]


def _fleet(objects: Mapping[str, Mapping[str, build.Built]]) -> Fleet:
    def part(folder: str, kind: type[T]) -> Mapping[str, T]:
        items = objects.get(folder, {})
        return {name: item for name, item in sorted(items.items()) if isinstance(item, kind)}

    routing = next(iter(part("routing", Entity).values()), None)
    return Fleet(
        environments=part("environments", Environment),
        sites=part("sites", Site),
        experiments=part("experiments", Experiment),
        datatypes=part("datatypes", Entity),
        embargo=part("embargo", Entity),
        alerts=part("alerts", Entity),
        routing=routing,
        images=part("images", Entity),
        buckets=part("buckets", Entity),
        acks=part("acks", Entity),
        zones=part("zones", Entity),
        networks=part("networks", Entity),
    )


def _patch(
    fleet: Fleet,
    overlay: Mapping[str, Any],
    known: Mapping[str, schema.Schema],
    documents: Mapping[str, Document],
) -> tuple[Fleet, list[Diagnostic]]:
    """Environments with an overlay merged in; a patch that the schema refuses is a problem of the overlay."""
    patches = overlay.get("environments") or {}
    environments = dict(fleet.environments)
    problems: list[Diagnostic] = []
    for name in sorted(patches.keys() & environments.keys()):
        document = documents[environments[name].span.file]
        merged = merge(environments[name].data, patches[name])
        patched = Document(f"the overlay of {name}", document.text, merged, document.root)
        wrong = schema.validate(patched, known["Environment"])
        problems += [replace(problem, span=Span(problem.span.file), end=(0, 0)) for problem in wrong]
        if not wrong:
            environments[name] = build.environment(merged, document)
    return replace(fleet, environments=environments), problems


def merge(base: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """A deep merge: mappings key by key, anything else replaced by the patch."""
    merged = dict(base)
    for key, value in patch.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


def validate(root: Path, *, only: Iterable[Path] | None = None) -> tuple[Diagnostic, ...]:
    """All problems of the configuration below `root`, in place order; empty means valid."""
    return load(root, only=None if only is None else tuple(only)).problems
