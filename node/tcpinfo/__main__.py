"""`tcp-info`: records every TCP connection of its network namespace, until SIGTERM.

SIGTERM and SIGINT end it in order within two seconds: a last poll, every file finished, the event socket removed.
"""

from __future__ import annotations

import logging
import os
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import zstandard

from node import flags, metrics, uuid
from node.tcpinfo import addresses, connections, events, files, meters, recorder

PROGRAM = "tcp-info"
_LOG = logging.getLogger("tcpinfo")
FLAGS = (
    flags.Flag("output", str, "", "folder of the files; empty: the current one"),
    flags.Flag("reps", flags.integer, 0, "polls to make; 0: for ever"),
    flags.Flag("interval", flags.duration_s, 0.01, "seconds between polls, as a duration"),
    flags.Flag("trace", flags.boolean, False, "accepted, without effect"),
    flags.many("exclude-srcport", "local ports that are not recorded"),
    flags.many("exclude-dstip", "remote addresses that are not recorded"),
    flags.Flag("uuid-prefix-file", str, "", "the file that create-uuid-prefix-file has written; required"),
    flags.Flag("tcpinfo.eventsocket", str, "", "path of the unix socket of events; empty: none"),
    flags.Flag("tcpinfo.eventsocket.replay", flags.boolean, False, "tell new readers of connections that are open"),
    flags.Flag("anonymize.ip", str, "none", "none, or netblock: addresses keep 24 bits (IPv4) or 48 (IPv6)"),
    metrics.LISTEN,
)


class StartError(Exception):
    """A value that the program cannot start with."""


def _folder(given: dict[str, Any], count: meters.Meters) -> files.Folder:
    output = Path(given["output"] or ".").absolute()
    output.mkdir(mode=0o755, parents=True, exist_ok=True)
    for path in files.leftovers(output):
        try:
            _LOG.warning("%s of a run that was killed: %d lines recovered", path, files.recover(path))
        except (OSError, zstandard.ZstdError) as error:
            _LOG.error("%s of a run that was killed cannot be recovered: %s", path, error)
    return files.Folder(output, count.files.inc)


def run(given: dict[str, Any]) -> int:
    """From flags to the end."""
    if not given["uuid_prefix_file"]:
        raise StartError("-uuid-prefix-file is empty; name the file that create-uuid-prefix-file has written")
    if given["anonymize_ip"] not in ("none", "netblock"):
        raise StartError(f"-anonymize.ip {given['anonymize_ip']!r} is neither none nor netblock")
    if not 0.001 <= given["interval"] <= 60:
        raise StartError(f"-interval {given['interval']} s is not from 1ms to 60s")
    if given["reps"] < 0:
        raise StartError(f"-reps {given['reps']} is negative")
    prefix = uuid.read_prefix(Path(given["uuid_prefix_file"]))
    registry = metrics.registry()
    count = meters.Meters(registry)
    folder = _folder(given, count)
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: stopping.append(number))
    stream = events.EventSocket(Path(given["tcpinfo_eventsocket"]), count) if given["tcpinfo_eventsocket"] else None
    try:
        of = connections.Connections(
            prefix,
            addresses.excluded(given["exclude_srcport"], given["exclude_dstip"]),
            folder,
            count,
            stream.send if stream is not None else lambda _: None,
            addresses.Anonymiser() if given["anonymize_ip"] == "netblock" else None,
        )
        pace = recorder.Pace(given["interval"], given["reps"])
        with metrics.Served(given["prometheusx_listen_address"], registry) as served:
            work = recorder.Recorder(pace, of, count, stream, given["tcpinfo_eventsocket_replay"])
            _LOG.info("recording into %s, metrics on port %d", folder.output, served.port)
            work.run(lambda: bool(stopping))
            left = work.finish()
    finally:
        if stream is not None:
            stream.close()
    if left:
        _LOG.error("%d files could not be written; make room and start again", left)
        return 1
    _LOG.info("stopped; every file is written")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    given = flags.start(PROGRAM, FLAGS, sys.argv[1:] if arguments is None else arguments, os.environ)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # A scrape is rendered in another thread; polls get their turn back within a millisecond.
    sys.setswitchinterval(0.001)
    try:
        return run(given)
    except (StartError, uuid.UuidError, metrics.AddressError, events.SocketError, OSError) as error:
        _LOG.error("%s", error)
        return 1


if __name__ == "__main__":
    sys.exit(main())
