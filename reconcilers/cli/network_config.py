"""`mlab network-config`: a template filled in for each machine, for boot images that carry their own configuration."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

from reconcilers.cli import inventory_source
from reconcilers.cli.exits import Exit
from reconcilers.core.errors import UsageError, one_line
from reconcilers.fleet import bracket_templates, kernel, targets


def run(given: argparse.Namespace) -> int:
    """Write a file for each chosen machine and print its name; nothing is written if two would have the same name."""
    labels = inventory_source.labels(given)
    try:
        template = Path(given.template_input).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--template-input {given.template_input}: cannot be read: {one_line(str(error))}") from error
    inventory = inventory_source.inventory(given)
    selection = targets.Selection("machines", (), project=given.project, physical=given.physical)
    made: dict[str, str] = {}
    for node in targets.nodes(inventory.sites, selection):
        hostname = str(node["hostname"])
        if not re.search(given.select, hostname):
            continue
        values = kernel.variables(node, inventory.services_domain, labels)
        name = bracket_templates.fill(given.template_output, values)
        if name in made:
            raise UsageError(
                f"--template-output {name}: also {hostname} would be written there; put {{{{hostname}}}} in it"
            )
        made[name] = bracket_templates.fill(template, values)
    for name, text in made.items():
        try:
            Path(name).write_text(text, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"--template-output {name}: cannot be written: {one_line(str(error))}") from error
        if not given.json:
            print(name)
    if given.json:
        print(json.dumps(list(made)))
    return Exit.OK
