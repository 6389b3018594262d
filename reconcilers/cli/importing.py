"""`mlab import`: an inventory of another platform, with everything that it says, as files of config/."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from reconcilers.cli.exits import Exit
from reconcilers.core.errors import UsageError
from reconcilers.importing import bring, checkout, published
from reconcilers.importing.bring import Prepared
from reconcilers.importing.inventory import Described

_STATES = ("active", "retired", "unlisted")
_SHOWN = 12


def run(given: argparse.Namespace) -> int:
    """Exit 5 if the source or the result is invalid, 3 if files would be lost.

    A faulty source writes nothing. Problems of files that the import does not write do not stop it: they were there.
    """
    if (given.path is None) == (given.published is None):
        raise UsageError("name either a checkout of the inventory or, with --published, where its JSON lies")
    into = Path(given.into)
    if into.exists() and not into.is_dir():
        raise UsageError(f"--into {into}: is no folder; name a repository, or a folder to begin one in")
    inventory = published.read(given.published) if given.published else checkout.read(Path(given.path))
    prepared = bring.prepare(inventory, into)
    if not given.dry_run:
        bring.carry_out(prepared, into, overwrite=given.replace)
    if given.json:
        print(json.dumps(_as_json(prepared, dry_run=given.dry_run), indent=1, ensure_ascii=False))
    else:
        print("\n".join(_lines(prepared, into, dry_run=given.dry_run)))
    for problem in prepared.remaining:
        print(problem.line(), file=sys.stderr)
    return Exit.INVALID if prepared.remaining else Exit.OK


def _lines(prepared: Prepared, into: Path, *, dry_run: bool) -> Iterator[str]:
    sites, account = prepared.inventory.sites, prepared.account
    yield f"{prepared.inventory.origin}: {_many(len(sites), 'site')}, hosts below {prepared.inventory.domain}"
    for state in _STATES:
        yield from _state(state, [site for site in sites if site.state == state])
    yield ""
    kept = sum(field.kept for field in account.fields)
    respelled = sum(field.respelled for field in account.fields)
    values = sum(field.values for field in account.fields)
    yield (
        f"fields   {len(account.fields)} with {values:,} values: {kept:,} kept, {respelled:,} written in another way, "
        f"{len(account.missing):,} without counterpart"
    )
    for field in account.fields:
        if field.lost:
            first = next(item for item in account.missing if _is_of(item.path, field.theirs))
            yield f"           no counterpart: {field.theirs}, {field.lost} values ({first.site}: {first.value!r})"
    yield f"hosts    {account.hosts:,} names and addresses compared, {len(account.differing):,} differ"
    yield from (f"           {text}" for text in account.differing[:_SHOWN])
    if len(account.differing) > _SHOWN:
        yield f"           and {len(account.differing) - _SHOWN} more; --json lists all"
    yield f"allowed  {_many(len(prepared.allowed), 'time')} the data breaks a rule; each file says so with a reason"
    for item in prepared.allowed:
        yield f"           {item.code} {item.message}"
    yield from (f"differs  {text}" for text in prepared.differences)
    yield from _files(prepared, into, dry_run=dry_run)


def _is_of(path: str, field: str) -> bool:
    parts = path.split(".")
    return ".".join(("machines", "*", *parts[2:]) if parts[0] == "machines" and len(parts) > 1 else parts) == field


def _state(state: str, sites: Sequence[Described]) -> Iterator[str]:
    kinds, projects = _counted(sites)
    where = ", ".join(f"{count} {project}" for project, count in projects.most_common())
    some = f": {', '.join(site.name for site in sites)}" if 0 < len(sites) <= 3 else ""
    yield (
        f"{state:<9}{_many(len(sites), 'site'):>10}, {kinds['physical']} physical and {kinds['virtual']} virtual; "
        f"{_many(sum(projects.values()), 'machine')}{f' ({where})' if where else ''}{some}"
    )


def _many(count: int, word: str) -> str:
    return f"{count:,} {word}{'s' if count != 1 else ''}"


def _counted(sites: Sequence[Described]) -> tuple[Counter[str], Counter[str]]:
    """How many sites of each type, and how many machines in each project: the inventory passed our schema by now."""
    kinds = Counter(str(site.document["annotations"]["type"]) for site in sites)
    projects = Counter(str(spec["project"]) for site in sites for spec in site.document["machines"].values())
    return kinds, projects


def _files(prepared: Prepared, into: Path, *, dry_run: bool) -> Iterator[str]:
    verdict = prepared.verdict
    yield ""
    for folder, files in prepared.begun.items():
        yield f"begun    config/{folder}/ with {_many(len(files), 'file')} of this program's own configuration"
    yield from (f"reserved {file}: nothing of ours runs under that name yet" for file in prepared.reserved)
    counts = [("created", verdict.created), ("updated", verdict.updated), ("replaced", verdict.foreign)]
    told = ", ".join(f"{len(files)} {word}" for word, files in counts if files)
    yield f"sites    {told + ', ' if told else ''}{len(verdict.unchanged)} unchanged in {into / 'config/sites'}"
    yield from (f"replaced {file}" for file in verdict.foreign)
    yield from (f"left     {file}: the inventory has it no more; remove it if it is gone" for file in verdict.gone)
    if verdict.others:
        names = ", ".join(verdict.others[:_SHOWN]) + (" …" if len(verdict.others) > _SHOWN else "")
        yield f"left     {len(verdict.others)} sites that no import wrote: {names}"
    if prepared.remaining:
        yield f"invalid  {len(prepared.remaining)} problems in files that the import does not write"
    elif dry_run:
        yield "dry run  nothing was written"
    else:
        yield f"valid    `mlab validate --root {into}` passes"


def _as_json(prepared: Prepared, *, dry_run: bool) -> Mapping[str, Any]:
    sites, verdict, account = prepared.inventory.sites, prepared.verdict, prepared.account
    states = {}
    for state in _STATES:
        chosen = [site for site in sites if site.state == state]
        kinds, projects = _counted(chosen)
        states[state] = {"sites": len(chosen), "types": kinds, "machines": sum(projects.values()), "projects": projects}
    return {
        "origin": prepared.inventory.origin,
        "domain": prepared.inventory.domain,
        "states": states,
        "fields": [
            {
                "theirs": field.theirs,
                "ours": field.ours or None,
                "values": field.values,
                "kept": field.kept,
                "respelled": field.respelled,
                "no_counterpart": field.lost,
            }
            for field in account.fields
        ],
        "no_counterpart": [{"site": i.site, "path": i.path, "value": i.value} for i in account.missing],
        "hosts": {"compared": account.hosts, "differing": list(account.differing)},
        "allowed": [
            {"file": a.file, "rule": a.code, "name": a.name, "message": a.message, "reason": a.reason}
            for a in prepared.allowed
        ],
        "differences": list(prepared.differences),
        "files": {
            "begun": {folder: sorted(files) for folder, files in prepared.begun.items()},
            "reserved": sorted(prepared.reserved),
            "created": list(verdict.created),
            "updated": list(verdict.updated),
            "replaced": list(verdict.foreign),
            "unchanged": len(verdict.unchanged),
            "gone": list(verdict.gone),
            "others": list(verdict.others),
        },
        "problems": [problem.line() for problem in prepared.remaining],
        "written": not dry_run,
    }
