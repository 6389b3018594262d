"""Runs in the measurement's container: connections and result files, and an account of them.

    python writer.py CONNECTIONS FILES PREFIX_FILE FOLDER...

Connections between two addresses of the pod carry random bytes either way; most end at once, ten stay open. Each is
followed by result files, named by it, in one of the folders below one of three days, written in place or renamed into
place. Then a line `made`; SIGTERM: more files, as a test that was running then leaves them. The last line is JSON:
`files`, of each its `name` with the folder's, `size` and `sha256`; `connections`, by name: bytes sent and received, and
whether it ended.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import socket
import sys
import time
from pathlib import Path

from node import uuid

CLIENT, SERVER = "198.51.100.1", "203.0.113.9"
DAYS = ("2026/11/23", "2026/11/24", "2026/11/25")
STAY = 10
AFTER = 40
"""Files that are written after SIGTERM."""


class Writer:
    """What was made so far."""

    def __init__(self, prefix: str, folders: list[Path]) -> None:
        self._prefix = prefix
        self._folders = folders
        self._random = random.Random(11)
        self._server = socket.create_server((SERVER, 0), backlog=64)
        self.files: list[dict[str, str | int]] = []
        self.connections: dict[str, list[int]] = {}
        self._kept: list[socket.socket] = []

    def connect(self, *, stays: bool) -> str:
        """One connection from its start to its end; the name of the server's side."""
        client = socket.socket()
        client.bind((CLIENT, 0))
        client.connect(self._server.getsockname())
        taken, _ = self._server.accept()
        counts = {end: [0, 0, int(not stays)] for end in (client, taken)}
        for sender, receiver in ((client, taken), (taken, client)):
            size = self._random.randrange(1, 60_000)
            sender.sendall(bytes(size))
            got = 0
            while got < size:
                got += len(receiver.recv(1 << 16))
            counts[sender][0], counts[receiver][1] = size, got
        names = {end: uuid.of_socket(self._prefix, end) for end in counts}
        self.connections.update({names[end]: counted for end, counted in counts.items()})
        if stays:
            self._kept += [client, taken]
        else:
            client.close()
            taken.close()
        return names[taken]

    def write(self, connection: str) -> None:
        """One result file, which its name and its content tell from all others."""
        number = len(self.files)
        folder = self._folders[number % len(self._folders)]
        day = folder / DAYS[number // len(self._folders) % len(DAYS)]
        day.mkdir(parents=True, exist_ok=True)
        name = day / f"{connection}.{number:05d}.json"
        body = json.dumps({"UUID": connection, "Number": number, "Text": "x" * self._random.randrange(2_000)}).encode()
        if number % 3:
            name.write_bytes(body)
        else:
            hidden = name.with_name(f".{name.name}")
            hidden.write_bytes(body)
            hidden.rename(name)
        written = f"{folder.name}/{name.relative_to(folder)}"
        self.files.append({"name": written, "size": len(body), "sha256": hashlib.sha256(body).hexdigest()})


def main(connections: int, files: int, prefix: str, folders: list[str]) -> None:
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: ended.append(number))
    os.umask(0o022)
    work = Writer(uuid.read_prefix(Path(prefix)), [Path(folder) for folder in folders])
    each, last = (files - AFTER) // connections, ""
    for number in range(connections):
        last = work.connect(stays=number >= connections - STAY)
        for _ in range(each):
            work.write(last)
    print("made", flush=True)
    while not ended:
        time.sleep(0.01)
    for _ in range(AFTER):
        work.write(last)
        time.sleep(0.01)
    print(json.dumps({"files": work.files, "connections": work.connections}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:])
