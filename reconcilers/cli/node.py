"""`mlab node`: what operators ask about the programs of a node; `audit` accounts for every file of a spool."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from node.audit import audit, spool, stores
from reconcilers.cli.exits import Exit
from reconcilers.core.errors import Temporary, UsageError


def run(given: argparse.Namespace) -> int:
    """One line a finding on stdout, then the totals; findings are exit 6."""
    folder = Path(given.spool)
    totals = audit.Totals()
    with _failures():
        state = Path(given.state_directory) if given.state_directory else None
        asked = audit.Question(
            spool.Spool(folder, state),
            stores.of(given.bucket),
            given.experiment or folder.resolve().name,
            given.node,
            given.data_dir,
            Path(given.expect) if given.expect else None,
        )
        found = audit.audit(asked, totals)
        if given.json:
            _print_json(found, totals)
        else:
            for finding in found:
                print(finding.line())
            print(summary(totals))
    return Exit.UNACCOUNTED if totals.findings else Exit.OK


def _print_json(found: Iterator[audit.Finding], totals: audit.Totals) -> None:
    """One document, written as it comes: there may be a finding for each of millions of files."""
    print('{"findings": [', end="")
    for number, finding in enumerate(found):
        print(",\n" if number else "\n", json.dumps(asdict(finding)), sep=" ", end="")
    print(f'\n], "totals": {json.dumps(asdict(totals))}}}')


def summary(totals: audit.Totals) -> str:
    """What there is, in a few lines."""
    lines = [
        f"stored: {totals.stored_once} files once; {totals.members} members, {totals.member_bytes} bytes, in"
        f" {totals.bundles} bundles",
        f"in the spool: {totals.waiting} wait, {totals.waiting_bytes} bytes, the oldest since"
        f" {totals.oldest_waiting_s:.0f} s; {totals.on_their_way} on their way, {totals.deletion_pending} stored and"
        f" to be deleted, {totals.quarantined} quarantined",
    ]
    if totals.other_objects:
        lines.append(f"not looked at: {totals.other_objects} objects whose names are no bundles' of this experiment")
    if totals.expected:
        lines.append(f"expected: {totals.proven} of {totals.expected} are in exactly one bundle, to the byte")
    found = ", ".join(f"{number} {kind}" for kind, number in sorted(totals.findings.items()))
    lines.append(f"findings: {found}" if found else "every file is accounted for")
    return "\n".join(lines)


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except (spool.SpoolError, audit.ExpectError) as error:
        raise UsageError(str(error)) from None
    except stores.StoreError as error:
        raise Temporary(str(error)) from None
