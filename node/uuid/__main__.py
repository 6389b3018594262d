"""`create-uuid-prefix-file -filename=FILE`: the first init container of a pod says how its connections are named.

The file appears whole or not at all, without a line break at its end, readable by all and writable by none.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from node import flags, uuid

PROGRAM = "create-uuid-prefix-file"
FLAGS = (flags.Flag("filename", str, "", "where to write the prefix"),)
_LOG = logging.getLogger("uuid")


def write(path: Path, prefix: str) -> None:
    """Write, and replace what was there."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    made = Path(name)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(prefix)
            os.fchmod(file.fileno(), 0o444)
            file.flush()
            os.fsync(file.fileno())
        made.replace(path)
    except BaseException:
        made.unlink(missing_ok=True)
        raise


def run(path: str, environment: Mapping[str, str]) -> int:
    if not path:
        _LOG.error("-filename is empty; say where to write the prefix")
        return 1
    try:
        prefix = uuid.new_prefix(environment, time.time(), Path("/proc/uptime").read_text())
        write(Path(path), prefix)
    except (OSError, uuid.UuidError) as error:
        _LOG.error("no prefix file: %s", error)
        return 1
    _LOG.info("%s has %s", path, prefix)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    given = flags.start(PROGRAM, FLAGS, sys.argv[1:] if arguments is None else arguments, os.environ)
    return run(given["filename"], os.environ)


if __name__ == "__main__":
    sys.exit(main())
