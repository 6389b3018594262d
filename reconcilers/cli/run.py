"""`mlab run`: reconcile one environment for as long as the process lives."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from reconcilers.cli import faults
from reconcilers.cli.exits import Exit
from reconcilers.cli.session import state_of
from reconcilers.core.errors import UsageError
from reconcilers.load import overlay as overlays
from reconcilers.loop import loop, rendering, source
from reconcilers.providers import secrets


def run(given: argparse.Namespace) -> int:
    """Ends with 0 on SIGTERM or ^C, after the writes in flight."""
    if len(given.env) != 1:
        raise UsageError("a loop reconciles one environment: name it with --env")
    state = state_of(given)
    host, _, port = given.listen.rpartition(":")
    if not host or not port.isdigit():
        raise UsageError(f"--listen {given.listen}: give ADDRESS:PORT, for example 127.0.0.1:8080")
    settings = loop.Settings(
        env=given.env[0],
        state=state,
        git=source.Settings(
            given.repository,
            given.branch,
            Path(given.signers) if given.signers else None,
            given.follow_rewrites,
        ),
        targets=tuple(given.target) or ("*",),
        overlays=overlays.files(state),
        git_interval_s=given.git_interval,
        interval_s=given.interval,
        host=host.strip("[]"),
        port=int(port),
        secret=secrets.resolve(given.hook_secret).reveal().encode() if given.hook_secret else b"",
        limits=rendering.Limits(memory_mib=given.render_memory_mib),
        fault=faults.from_environment(),
    )
    made = loop.Loop(settings, _say)

    def stop(number: int, frame: FrameType | None) -> None:
        made.stop()

    assert threading.current_thread() is threading.main_thread()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    made.run()
    return Exit.OK


def _say(line: str) -> None:
    print(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {secrets.redact(line)}", file=sys.stderr, flush=True)
