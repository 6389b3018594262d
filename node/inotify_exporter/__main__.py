"""`inotify-exporter`: serves counts of the files that appear below folders, until SIGTERM or SIGINT."""

from __future__ import annotations

import dataclasses
import logging
import os
import select
import signal
import sys
from collections.abc import Sequence
from typing import Any

from node import flags, metrics
from node.inotify_exporter import counting, meters
from node.watch import closed

PROGRAM = "inotify-exporter"
_LOG = logging.getLogger(PROGRAM)
_TICK_MS = 1000
FLAGS = (
    flags.Flag("path", lambda text: [text], [], "folder to watch; may be repeated", lambda old, new: [*old, *new]),
    flags.Flag("max-extensions", flags.integer, 100, "extensions with series of their own; further ones are `other`"),
    flags.Flag("log-events", flags.boolean, True, "write each counted event to the log"),
    dataclasses.replace(metrics.LISTEN, default=":9393"),
)


class StartError(Exception):
    """A value that the program cannot start with."""


def run(given: dict[str, Any]) -> int:
    """From flags to the end."""
    if not given["path"]:
        raise StartError("-path is not given; name at least one folder")
    if given["max_extensions"] < 0:
        raise StartError(f"-max-extensions {given['max_extensions']} is negative")
    # Looks at files take leases for a moment.
    closed.survive_broken_leases()
    stop = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os.eventfd_write(stop, 1))
    registry = metrics.registry()
    count = meters.Meters(registry, given["max_extensions"])
    roots = [counting.Counting(path, count, log_events=given["log_events"]) for path in dict.fromkeys(given["path"])]
    with metrics.Served(given["prometheusx_listen_address"], registry) as served:
        _LOG.info("metrics on port %d", served.port)
        ready = select.poll()
        ready.register(stop, select.POLLIN)
        while True:
            for root in roots:
                if (watched := root.open()) is not None:
                    ready.register(watched.fileno(), select.POLLIN)
                root.count()
            if any(descriptor == stop for descriptor, _ in ready.poll(_TICK_MS)):
                break
    for root in roots:
        root.close()
    os.close(stop)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    # Not from PATH: that variable is the shell's.
    environment = {name: value for name, value in os.environ.items() if name != "PATH"}
    given = flags.start(PROGRAM, FLAGS, sys.argv[1:] if arguments is None else arguments, environment)
    try:
        return run(given)
    except (StartError, metrics.AddressError) as error:
        _LOG.error("%s", error)
        return 1


if __name__ == "__main__":
    sys.exit(main())
