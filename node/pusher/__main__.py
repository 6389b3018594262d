"""`pusher`: uploads what experiments write, in bundles, and deletes it once it is proven to be stored; until SIGTERM.

A command line with `-gcs-bucket` and without `-bucket` is jostler's. SIGTERM: what there is is uploaded, files are
collected for `-sigterm_wait_time` more, then the last upload, within `-drain_time`. SIGINT does not wait, and a second
signal ends a wait.
"""

from __future__ import annotations

import logging
import os
import resource
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any

import google.auth.exceptions

from node import flags, metrics
from node.pusher import engine, jostler, options, schema, state
from node.pusher.settings import Settings, StartError
from node.watch.closed import survive_broken_leases
from node.watch.tree import WatchError

_LOG = logging.getLogger("pusher")
_ERRORS = (
    StartError,
    state.Held,
    schema.SchemaError,
    metrics.AddressError,
    WatchError,
    google.auth.exceptions.GoogleAuthError,
    OSError,
)


def run(of: Settings) -> int:
    """From settings to the end."""
    for each in of.datatypes:
        if not each.root.is_dir():
            raise StartError(f"{each.root} is no folder; make one for each -datatype")
    if of.only_check:
        return 0
    ending, urgent = threading.Event(), threading.Event()

    def on_signal(number: int, _: object) -> None:
        if ending.is_set() or number == signal.SIGINT:
            urgent.set()
        ending.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    broken: list[str] = []

    def on_bug(found: threading.ExceptHookArgs) -> None:
        _LOG.error("a bug ends the program", exc_info=found.exc_value)
        broken.append(found.thread.name if found.thread else "a thread")
        urgent.set()
        ending.set()

    # A thread that ends would leave a program that looks alive and does half its work; a new start finds everything.
    threading.excepthook = on_bug
    survive_broken_leases()
    registry = metrics.registry()
    made = engine.Engine(of, registry)
    with metrics.Served(of.listen, registry) as served:
        _LOG.info("pushing %s, metrics on port %d", ", ".join(each.name for each in of.datatypes), served.port)
        left = made.run(ending, urgent)
    for line in left:
        _LOG.error("%s", line)
    return 1 if left or broken else 0


def main(arguments: Sequence[str] | None = None) -> int:
    words = sys.argv[1:] if arguments is None else list(arguments)
    lines = jostler.meant(words, os.environ)
    program, known = ("jostler", jostler.FLAGS) if lines else ("pusher", options.FLAGS)
    given: dict[str, Any] = flags.start(program, known, words, os.environ)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        if lines and given["local"]:
            return jostler.local(given)
        status = run(jostler.settings(given) if lines else options.settings(given))
    except _ERRORS as error:
        _LOG.error("%s", error)
        status = 1
    if status:
        # Uploads that hang have threads that nobody may wait for.
        logging.shutdown()
        os._exit(status)
    return status


if __name__ == "__main__":
    sys.exit(main())
