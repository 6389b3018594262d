"""`mlab targets`: targets for Prometheus, as the public platform's tool prints them with the same options."""

from __future__ import annotations

import argparse

from reconcilers.cli import inventory_source
from reconcilers.cli.exits import Exit
from reconcilers.core.errors import UsageError
from reconcilers.fleet import published, targets


def run(given: argparse.Namespace) -> int:
    """A JSON list, one record a line."""
    labels = inventory_source.labels(given)
    if not labels and given.shape != "sites":
        raise UsageError(f"targets of {given.shape} need at least one --label: by what would anybody select them?")
    selection = targets.Selection(
        shape=given.shape,
        templates=tuple(given.template_target),
        labels=labels,
        project=given.project,
        select=given.select,
        decoration=given.decoration,
        physical=given.physical,
        flat=given.flat,
        only_with_ipv6=given.only_with_ipv6,
    )
    inventory = inventory_source.inventory(given, by_index=given.by_index)
    print(published.encode(targets.records(inventory.sites, selection)).decode(), end="")
    return Exit.OK
