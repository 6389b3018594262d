"""May this plan be carried out? Whether it is what was approved, and whether a person says yes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from reconcilers.core import approval
from reconcilers.core.errors import Refused, UsageError
from reconcilers.fleet.model import Environment
from reconcilers.report.run import RunPlan, read_approval

GUARDED = ("production",)
"""Environments that are never applied unseen: without a terminal they want an approved plan or its digest."""
MIN_DIGEST = 12
_ADDRESSES = ("url", "endpoint", "prometheus_url", "server", "kubeconfig")


def check(made: RunPlan, given: argparse.Namespace) -> None:
    """Raises `Refused` if the plan is not the one of `--digest`, or more than the one of `--plan`."""
    if given.digest is not None:
        if len(given.digest) < MIN_DIGEST:
            raise UsageError(f"--digest {given.digest}: give at least its first {MIN_DIGEST} characters")
        if not made.digest.startswith(given.digest):
            raise Refused(
                f"{made.env}: the plan is now {made.digest[:MIN_DIGEST]}, not {given.digest}: it changed since its "
                f"approval; see `mlab plan --env {made.env}`"
            )
    if given.plan is not None:
        approved = read_approval(Path(given.plan), made.env)
        extra = [line for plan in made.plans for line in approval.excess(plan, approved)]
        if extra:
            shown = "; ".join(extra[:10]) + (f" and {len(extra) - 10} more" if len(extra) > 10 else "")
            raise Refused(f"{given.plan}: these changes were not approved: {shown}; plan and approve again")


def confirm(environment: Environment, made: RunPlan, given: argparse.Namespace) -> None:
    """Ask on a terminal for the environment's name, having shown where it goes. Raises `Refused` or `UsageError`."""
    guarded = environment.name in GUARDED
    if given.yes and (not guarded or given.plan or given.digest or sys.stdin.isatty()):
        return
    if given.yes:
        raise Refused(
            f"{environment.name} is not applied unseen: plan it with --out FILE, have it approved, and give "
            f"--plan FILE, or --digest {made.digest[:MIN_DIGEST]}"
        )
    if not sys.stdin.isatty():
        raise UsageError("apply asks before it writes; without a terminal give --yes")
    print(f"project {environment.project}", file=sys.stderr)
    for plan in made.plans:
        name = plan.scope.partition("/")[2]
        print(f"  {name:<12}{_address(environment.data['targets'][name])}", file=sys.stderr)
    print(f"Type {environment.name} to apply this plan: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != environment.name:
        raise Refused(f"the answer was not {environment.name}: nothing is written")


def _address(target: object) -> str:
    if isinstance(target, dict):
        for key in _ADDRESSES:
            value = target.get(key)
            if value:
                context = f", context {target['context']}" if target.get("context") else ""
                return (str(value.get("secretRef", value)) if isinstance(value, dict) else str(value)) + context
    return "the default of its client"
