"""The ePoxy client of a node: asks for its next action, does it, reports.

    python3 -I -m node.boot.epoxy_client -action epoxy.stage2 [flags]

| flag | default | |
| --- | --- | --- |
| `-cmdline FILE` | `/proc/cmdline` | the kernel command line |
| `-action KEY` | `epoxy.stage2` | the key of the command line whose URL is asked; `file:///PATH` is read |
| `-report KEY` | `epoxy.report` | the key of the URL that is told how it went |
| `-add-kargs` | false | keys of the first document join the command line, replacing none |
| `-dryrun` | false | print the evaluated document; fetch no file, run nothing, report nothing |
| `-retry` | true | repeat a try that failed |
| `-retry-for SECONDS` | 21600 | how long |
| `-ca-file FILE` | `/etc/mlab/ca.pem` if it is there, else the system's | whom to trust |

Flags are written as the original's: `-name VALUE`, `-name=VALUE`, one dash or two; booleans only `-name` or
`-name=false`. Exit status: 0 it holds, 1 given up, 2 a flag or the command line is wrong, 3 the server takes this
boot no more and the machine has to start again from stage 1. It never restarts the machine itself.

Standard library only; made to run from `.pyc` in an initramfs. Flags are read here and not by `node.flags`, whose
imports cost a third more of the start.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from node.boot import client
from node.boot.errors import Usage

_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})
_BOOLEANS = frozenset({"add-kargs", "dryrun", "retry"})
_VALUES = frozenset({"cmdline", "action", "report", "retry-for", "ca-file"})


def flags(arguments: Sequence[str]) -> dict[str, str]:
    """Values by flag, as Go's flag package reads them. Raises `Usage`."""
    found: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word == "--" and not rest:
            break
        name, equals, value = word.lstrip("-").partition("=")
        if not word.startswith("-") or word.startswith("---") or name not in _BOOLEANS | _VALUES:
            raise Usage(f"{word!r} is not a flag; known are -{', -'.join(sorted(_BOOLEANS | _VALUES))}")
        if name in _BOOLEANS:
            value = value if equals else "true"
        elif not equals:
            if not rest:
                raise Usage(f"-{name} wants a value")
            value = rest.pop(0)
        found[name] = value
    return found


def options(arguments: Sequence[str]) -> client.Options:
    """The client's options. Raises `Usage`."""
    found = flags(arguments)
    made = client.Options()
    return made._replace(
        cmdline=Path(found.get("cmdline", str(made.cmdline))),
        action=found.get("action", made.action),
        report=found.get("report", made.report),
        add_kargs=_boolean(found, "add-kargs", made.add_kargs),
        dry_run=_boolean(found, "dryrun", made.dry_run),
        retry=_boolean(found, "retry", made.retry),
        retry_for_s=_seconds(found, "retry-for", made.retry_for_s),
        ca_file=Path(found["ca-file"]) if "ca-file" in found else None,
    )


def _boolean(found: dict[str, str], name: str, default: bool) -> bool:
    value = found.get(name)
    if value is None:
        return default
    if value in _TRUE or value in _FALSE:
        return value in _TRUE
    raise Usage(f"-{name}={value!r} is neither true nor false")


def _seconds(found: dict[str, str], name: str, default: float) -> float:
    value = found.get(name)
    if value is None:
        return default
    if value.isascii() and value.isdigit() and len(value) < 10:
        return float(value)
    raise Usage(f"-{name} {value!r} is not a whole number of seconds")


def _terminated(number: int, frame: FrameType | None) -> None:
    """Leave through the usual way: commands are ended and files removed."""
    raise SystemExit(128 + number)


def main(arguments: Sequence[str]) -> int:
    try:
        chosen = options(arguments)
    except Usage as error:
        print(f"epoxy_client: {error}", file=sys.stderr)
        return client.USAGE
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _terminated)
    return client.run(chosen)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
