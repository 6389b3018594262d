"""`tcp-info-csv FILE.jsonl.zst [...]`: snapshots as CSV on stdout, one row each, for spreadsheets and quick looks.

The columns are those of the public platform's csvtool, in its order (`IDM.*`, the cookie in hexadecimal, `TCP.*` and so
on), after two that say whose snapshot it is. Unlike there no two columns have one name, the first line of a file is no
row, and `NotFullyParsed` is left out: nothing is left unparsed silently.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from node.tcpinfo import fields, reader

_MISSPELT = {"Sndbuf": "Sndbug"}
"""Under which name the public tool has it; scripts read it there."""
_SOCKET = ("SPort", "DPort", "Src", "Dst", "Interface", "Cookie")
COLUMNS = (
    *("Metadata.UUID", "Metadata.Sequence", "Timestamp", "Observed"),
    *(f"IDM.{name}" for name in fields.MESSAGE),
    *(f"IDM.SockID.{name}" for name in _SOCKET),
    *(f"IDM.{name}" for name in fields.MESSAGE_END),
    *("CongestionAlgorithm", *fields.SCALARS),
    *(f"TCP.{name}" for name in fields.TCP_INFO),
    *(f"MemInfo.{name}" for name in fields.MEMORY),
    *(f"SKMemInfo.{_MISSPELT.get(name, name)}" for name in fields.SOCKET_MEMORY),
    *(f"Vegas.{name}" for name in fields.VEGAS),
    *(f"DCTCP.{name}" for name in fields.DCTCP),
    *(f"BBR.{name}" for name in fields.BBR),
)


def rows(path: Path) -> Iterator[dict[str, object]]:
    """One for each snapshot; numbers of a structure that it lacks are absent."""
    metadata, found = reader.read(path)
    for snapshot in found:
        message, attributes = snapshot.message, snapshot.attributes
        memory = {_MISSPELT.get(name, name): value for name, value in snapshot.socket_memory.items()}
        yield {
            "Metadata.UUID": metadata.uuid,
            "Metadata.Sequence": metadata.sequence,
            "Timestamp": snapshot.time,
            "Observed": sum(1 << (kind - 1) for kind in attributes if kind),
            **_under("IDM", {name: message[name] for name in (*fields.MESSAGE, *fields.MESSAGE_END)}),
            **_under("IDM.SockID", {name: message[name] for name in ("SPort", "DPort", "Interface")}),
            "IDM.SockID.Src": snapshot.source,
            "IDM.SockID.Dst": snapshot.destination,
            "IDM.SockID.Cookie": f"{message['Cookie']:X}",
            "CongestionAlgorithm": snapshot.congestion_control,
            **{name: fields.number(attributes.get(kind, b"")) for name, kind in fields.SCALARS.items()},
            **_under("TCP", snapshot.tcp_info),
            **_under("MemInfo", snapshot.memory),
            **_under("SKMemInfo", memory),
            **_under("Vegas", fields.numbers(fields.VEGAS, attributes.get(fields.VEGASINFO, b""))),
            **_under("DCTCP", fields.dctcp(attributes.get(fields.DCTCPINFO, b""))),
            **_under("BBR", fields.bbr(attributes.get(fields.BBRINFO, b""))),
        }


def _under(prefix: str, values: dict[str, int]) -> dict[str, int]:
    return {f"{prefix}.{name}": value for name, value in values.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    paths = sys.argv[1:] if arguments is None else arguments
    if not paths or any(path.startswith("-") for path in paths):
        sys.stderr.write("usage: tcp-info-csv FILE.jsonl[.zst] ...\n")
        return 2
    writer = csv.DictWriter(sys.stdout, COLUMNS, restval="")
    writer.writeheader()
    try:
        for path in paths:
            writer.writerows(rows(Path(path)))
    except (reader.FormatError, OSError) as error:
        sys.stderr.write(f"tcp-info-csv: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
