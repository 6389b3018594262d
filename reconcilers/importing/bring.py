"""One import from end to end: an inventory and a destination in, what would be written and what became of it out.

`prepare` reads and judges and writes nothing; `carry_out` writes what was prepared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reconcilers.core.model import Diagnostic, Span
from reconcilers.importing import accounting, destination, foundation, mapping, reuses, silencing, text
from reconcilers.importing.inventory import Described, Inventory, faults, refuse
from reconcilers.importing.silencing import Allowed, Writer
from reconcilers.load import parse, schema
from reconcilers.load.fleet import SCHEMAS
from reconcilers.load.source_files import FOLDERS


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything that an import would do and has found out.

    `begun` are the folders of config/ that begin as the program's own, `reserved` files of experiments that only the
    inventory knows: both are written once and then belong to whoever edits them. `differences` say where names or
    addresses would not be the inventory's, `remaining` are problems of files that the import does not write.
    """

    inventory: Inventory
    account: accounting.Account
    allowed: tuple[Allowed, ...]
    sites: Mapping[str, bytes]
    reserved: Mapping[str, bytes]
    begun: Mapping[str, Mapping[str, bytes]]
    verdict: destination.Verdict
    differences: tuple[str, ...]
    remaining: tuple[Diagnostic, ...]


def prepare(inventory: Inventory, into: Path) -> Prepared:
    """Raises `ConfigError` with all problems of the source."""
    wrong = list(faults(inventory))
    if wrong:
        raise refuse(wrong)
    destination.refuse_links(into, ("", *FOLDERS))
    known = schema.schemas(SCHEMAS)
    begun = foundation.folders(into, inventory.domain)
    others = {file: data for files in begun.values() for file, data in files.items()}
    before = reuses.find(inventory.sites)
    writers = {
        f"config/sites/{site.name}.yaml": _site(site, before.get(site.name, ()), known["Site"])
        for site in inventory.sites
    }
    unknown = foundation.unknown(inventory.experiments, _positions(into, others))
    reserved = {f"config/experiments/{slot.name}.yaml": _reserved(slot, known["Experiment"]) for slot in unknown}
    judged = silencing.judge(into, writers | reserved, others)
    if judged.source:
        origins = {f"config/sites/{site.name}.yaml": site.origin for site in inventory.sites}
        raise refuse([_at_source(problem, origins) for problem in judged.source])
    fleet = judged.loaded.fleet
    return Prepared(
        inventory=inventory,
        account=accounting.account(inventory, fleet),
        allowed=judged.allowed,
        sites=(sites := {file: judged.texts[file] for file in writers}),
        reserved={file: judged.texts[file] for file in reserved},
        begun=begun,
        verdict=destination.judge(into, sites),
        differences=tuple(foundation.differences(inventory, fleet)),
        remaining=judged.elsewhere,
    )


def carry_out(prepared: Prepared, into: Path, *, overwrite: bool) -> None:
    """Write. Raises `Refused` before anything is written, if files of others would be lost and that is not wanted."""
    if not overwrite:
        destination.refuse_foreign(prepared.verdict)
    for files in prepared.begun.values():
        destination.write_folder(into, files)
    destination.write(into, prepared.sites, once=prepared.reserved)


def _site(described: Described, before: tuple[str, ...], kind: schema.Schema) -> Writer:
    return _writer({"kind": "Site", **mapping.site(described, before)}, kind)


def _reserved(slot: foundation.Slot, kind: schema.Schema) -> Writer:
    return _writer(foundation.reserved(slot), kind)


def _writer(value: Mapping[str, Any], kind: schema.Schema) -> Writer:
    def write(allowed: Sequence[Allowed]) -> bytes:
        allow = [{"rule": item.code, "reason": item.reason} for item in allowed]
        return text.file({**value, "allow": allow} if allow else value, kind.data, kind.path.name).encode()

    return write


def _positions(into: Path, others: Mapping[str, bytes]) -> dict[str, int]:
    """Names and aliases of the experiments that the destination has, or is to begin with, and their places."""
    files = {str(path): path.read_bytes() for path in (into / "config/experiments").glob("*.yaml")}
    files |= {file: data for file, data in others.items() if file.startswith("config/experiments/")}
    found: dict[str, int] = {}
    for file, data in files.items():
        document, _ = parse.parse(data, file)
        value = document.value if document and isinstance(document.value, dict) else {}
        position = value.get("position")
        for name in (Path(file).stem, value.get("name"), *(value.get("aliases") or ())):
            found[str(name)] = position if isinstance(position, int) else 0
    return found


def _at_source(problem: Diagnostic, origins: Mapping[str, str]) -> Diagnostic:
    """A problem of a file that was never written, placed where its value came from."""
    origin = origins.get(problem.span.file)
    return replace(problem, span=Span(origin), end=(0, 0)) if origin else problem
