"""`mlab explain RULE`: what a rule demands and why, and where it makes sense, what the fleet leaves free."""

from __future__ import annotations

import argparse
import json

from reconcilers.cli.exits import Exit
from reconcilers.cli.session import root_of
from reconcilers.load import explain as explaining
from reconcilers.load import fleet as loading


def run(given: argparse.Namespace) -> int:
    """By code or by name; without one, all rules, a line each."""
    if given.rule is None:
        rules = sorted(explaining.known(), key=lambda rule: rule.code)
        if given.json:
            print(json.dumps([{"code": r.code, "name": r.name, "summary": r.summary} for r in rules], indent=1))
        else:
            for rule in rules:
                print(f"{rule.code}  {rule.name:<28}  {rule.summary}")
        return Exit.OK
    fleet = loading.load(root_of(given)).fleet
    found = explaining.explain(given.rule, fleet)
    print(json.dumps(found.as_json(), indent=1) if given.json else found.text())
    return Exit.OK
