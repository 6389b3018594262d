"""The unix socket on which other programs of a pod learn of connections: one JSON object a line, Open 0 and Close 1.

Nothing is ever read from a reader, and no reader is waited for: each has a queue of up to 4 MiB, and one that lets it
fill up is cut off. With replay a new reader first gets an Open for every connection that is open.
"""

from __future__ import annotations

import logging
import socket
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from node.tcpinfo import addresses, meters, records

_LOG = logging.getLogger("tcpinfo")
QUEUE_BYTES = 4 << 20


class SocketError(Exception):
    """The socket cannot be had."""


def opened(ns: int, uuid: str, ends: addresses.Ends) -> bytes:
    """An Open; the cookie as a signed number, as readers expect it."""
    cookie = ends.cookie - (1 << 64) if ends.cookie >> 63 else ends.cookie
    where = (
        f'{{"SPort":{ends.source_port},"DPort":{ends.destination_port},"SrcIP":"{addresses.text(ends.source)}",'
        f'"DstIP":"{addresses.text(ends.destination)}","Interface":{ends.interface},"Cookie":{cookie}}}'
    )
    return f'{{"Event":0,"Timestamp":"{records.timestamp(ns)}","UUID":"{uuid}","ID":{where}}}\n'.encode()


def closed(ns: int, uuid: str) -> bytes:
    return f'{{"Event":1,"Timestamp":"{records.timestamp(ns)}","UUID":"{uuid}","ID":null}}\n'.encode()


class EventSocket:
    """The listening socket and its readers. Nothing here blocks."""

    def __init__(self, path: Path, count: meters.Meters) -> None:
        self._path = path
        self._count = count
        self._readers: dict[socket.socket, bytearray] = {}
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._listener.setblocking(False)
        try:
            if path.is_socket():
                path.unlink()  # of an earlier run
            self._listener.bind(str(path))
            self._listener.listen(64)
            self._inode = path.stat().st_ino
        except OSError as error:
            self._listener.close()
            raise SocketError(f"-tcpinfo.eventsocket {path}: {error}") from None

    def accept(self) -> list[socket.socket]:
        """New readers."""
        made = []
        # Nobody there, or no descriptor left for them: they are asked again at the next poll.
        with suppress(OSError):
            while True:
                reader, _ = self._listener.accept()
                reader.setblocking(False)
                self._readers[reader] = bytearray()
                made.append(reader)
        self._count.clients.set(len(self._readers))
        return made

    def send(self, lines: Iterable[bytes], *, to: Iterable[socket.socket] | None = None) -> None:
        """Queue lines for all readers, or some, and write what they take."""
        data = b"".join(lines)
        for reader in list(self._readers) if to is None else to:
            queue = self._readers[reader]
            queue += data
            self._write(reader, queue)
            if len(queue) > QUEUE_BYTES:
                _LOG.warning("a reader of events has %d bytes waiting; it is cut off", len(queue))
                self._count.clients_dropped.inc()
                self._drop(reader)

    def pump(self) -> None:
        """Go on writing, and notice who has gone."""
        for reader, queue in list(self._readers.items()):
            try:
                if reader.recv(4096) == b"":
                    self._drop(reader)
                    continue
            except BlockingIOError:
                pass
            except OSError:
                self._drop(reader)
                continue
            if queue:
                self._write(reader, queue)

    def _write(self, reader: socket.socket, queue: bytearray) -> None:
        try:
            while queue:
                del queue[: reader.send(queue)]
        except BlockingIOError:
            pass
        except OSError:
            queue.clear()  # it has gone; the next look at it says so

    def _drop(self, reader: socket.socket) -> None:
        del self._readers[reader]
        reader.close()
        self._count.clients.set(len(self._readers))

    def close(self) -> None:
        """Write what readers take at once, end them, and remove the socket, if it is still ours."""
        for reader, queue in list(self._readers.items()):
            self._write(reader, queue)
            self._drop(reader)
        self._listener.close()
        with suppress(OSError):
            found = self._path.lstat()
            if stat.S_ISSOCK(found.st_mode) and found.st_ino == self._inode:
                self._path.unlink()
