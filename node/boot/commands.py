"""Runs the commands of a document: in order, without a shell, the first failure ends the run.

Each runs in a process group of its own, with its output copied to the console line by line as it comes and kept for
the report. One that takes longer than two hours is ended with all its children. The document's `env` goes into the
environment of commands alone; its `PATH` says where programs are looked for.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import IO

from node.boot.errors import CommandFailed

LIMIT_S = 7200.0
_OUTPUT_GRACE_S = 1.0
"""A daemon that a command started may keep the output open; it is read no longer than this after the command."""


def run(
    commands: Sequence[Sequence[str]], env: Mapping[str, str], say: Callable[[str], None], *, limit_s: float = LIMIT_S
) -> None:
    """Run all of them. Raises `CommandFailed` naming the command and its status."""
    for command in commands:
        say(f"run: {shown(command)}")
        _one(command, {**os.environ, **env}, say, limit_s)


def shown(command: Sequence[str]) -> str:
    """A command as the original prints it."""
    return "[" + " ".join('"' + word.replace('"', '\\"') + '"' for word in command) + "]"


def _one(command: Sequence[str], env: Mapping[str, str], say: Callable[[str], None], limit_s: float) -> None:
    try:
        process = subprocess.Popen(
            list(command),
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CommandFailed(f"{shown(command)}: cannot be started: {reason}") from None
    reader: threading.Thread | None = None
    try:
        assert process.stdout is not None
        reader = threading.Thread(target=_copy, args=(process.stdout, say), daemon=True)
        reader.start()
        status = process.wait(limit_s)
    except subprocess.TimeoutExpired:
        _end(process)
        raise CommandFailed(f"{shown(command)}: not done after {limit_s:g} s; ended") from None
    except BaseException:
        _end(process)
        raise
    finally:
        if reader is not None:
            reader.join(_OUTPUT_GRACE_S)
    if status:
        how = f"exit status {status}" if status > 0 else f"signal: {signal.Signals(-status).name}"
        raise CommandFailed(f"{shown(command)} : {how}")


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _copy(output: IO[bytes], say: Callable[[str], None]) -> None:
    with contextlib.suppress(OSError, ValueError), output:
        while line := output.readline(4096):
            say("  " + line.decode("utf-8", "replace").rstrip("\r\n"))
