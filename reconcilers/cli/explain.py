"""`mlab explain RULE`: what a rule demands and why, and where it makes sense, what the fleet leaves free.

What has a slash in it is the name of a resource: see `explain_resource`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from reconcilers.cli.exits import Exit
from reconcilers.cli.session import root_of
from reconcilers.load import explain as explaining
from reconcilers.load import fleet as loading


def run(given: argparse.Namespace) -> int:
    """By code or by name; without one, all rules, a line each, or as a page."""
    if given.page is not None:
        from reconcilers.load import rules_page

        Path(given.page).write_text(rules_page.page())
        return Exit.OK
    if given.rule is None:
        rules = sorted(explaining.known(), key=lambda rule: rule.code)
        if given.json:
            print(json.dumps([{"code": r.code, "name": r.name, "summary": r.summary} for r in rules], indent=1))
        else:
            for rule in rules:
                print(f"{rule.code}  {rule.name:<28}  {rule.summary}")
        return Exit.OK
    if "/" in given.rule or "*" in given.rule:
        from reconcilers.cli import explain_resource

        return explain_resource.run(given)
    loaded = loading.load(root_of(given))
    found = explaining.explain(given.rule, loaded.fleet, loaded.times)
    print(json.dumps(found.as_json(), indent=1) if given.json else found.text())
    return Exit.OK
