"""What is known of each connection, from its first sighting to its file.

This is the half of the program that may take its time. Polls only put messages here; lines are made and files written
in `work`, one connection at a time, between polls.
"""

from __future__ import annotations

import logging
import struct
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from node import uuid
from node.tcpinfo import addresses, events, files, meters, netlink, records

_LOG = logging.getLogger("tcpinfo")
SEGMENT_NS = 600 * 10**9
IDLE_NS = 300 * 10**9
RETRY_NS = 10**9
AT_ONCE = 8
"""Connections that are worked on before the kernel's queue is looked at again."""
_SENT, _RECEIVED = 200, 128
_U64 = struct.Struct("=Q")


class Connection:
    """One connection that is followed."""

    __slots__ = (
        "ended",
        "ends",
        "pending",
        "queued",
        "received",
        "rotate",
        "segment",
        "sent",
        "sequence",
        "start_ns",
        "uuid",
    )

    def __init__(self, name: str, ends: addresses.Ends, start_ns: int) -> None:
        self.uuid = name
        self.ends = ends
        self.start_ns = start_ns
        self.sequence = 0
        self.segment: files.Segment | None = None
        self.pending: list[tuple[int, bytes]] = []
        self.sent = self.received = 0
        self.queued = self.ended = self.rotate = False

    def head(self, sequence: int) -> bytes:
        return records.head(self.uuid, sequence, self.start_ns)


class Connections:
    """All of them, by cookie."""

    def __init__(
        self,
        prefix: str,
        excluded: addresses.Excluded,
        folder: files.Folder,
        count: meters.Meters,
        announce: Callable[[list[bytes]], None],
        anonymise: Callable[[bytes], bytes] | None,
    ) -> None:
        self._prefix = prefix
        self._excluded = excluded
        self._folder = folder
        self._count = count
        self._announce = announce
        self._anonymise = anonymise
        self._open: dict[int, Connection] = {}
        self._not_recorded: dict[int, bytes] = {}
        self._queue: deque[Connection] = deque()
        self._retry: list[tuple[Connection, files.Segment, int]] = []
        self._retry_ns = 0
        self._writer = records.Writer()
        self.backlog = self.written = 0
        self.sent_bytes = self.received_bytes = 0

    def __len__(self) -> int:
        return len(self._open)

    def saw(self, changed: Iterable[tuple[int, bytes]], ns: int) -> None:
        """Snapshots of one dump."""
        lines: list[bytes] = []
        known, queue = self._open, self._queue
        for cookie, message in changed:
            if message[netlink.STATE] == netlink.FIN_WAIT2 and netlink.is_remnant(message):
                continue  # its last word is written already
            connection = known.get(cookie)
            if connection is None:
                connection = self._new(cookie, message, ns, lines)
                if connection is None:
                    continue
            segment = connection.segment
            if segment is not None and segment.size > files.REFUSED_BYTES:
                self._count.dropped.inc()
                continue
            connection.pending.append((ns, message))
            self.backlog += 1
            if not connection.queued:
                connection.queued = True
                queue.append(connection)
        if lines:
            self._announce(lines)

    def ended(self, cookie: int, message: bytes | None, ns: int) -> None:
        """A connection's end, with the kernel's last word on it if there is one."""
        lines: list[bytes] = []
        connection = self._open.get(cookie)
        if connection is None and message is not None:
            connection = self._new(cookie, message, ns, lines)
        self._not_recorded.pop(cookie, None)
        if connection is None:
            return
        del self._open[cookie]
        connection.ended = True
        if message is not None:
            connection.pending.append((ns, message))
            self.backlog += 1
        self._enqueue(connection)
        self._count.flows.labels("close").inc()
        self._count.finals.labels("poll" if message is None else "destroy").inc()
        lines.append(events.closed(ns, connection.uuid))
        self._announce(lines)

    def _new(self, cookie: int, message: bytes, ns: int, lines: list[bytes]) -> Connection | None:
        identity = message[netlink.SOCKET_ID : netlink.SOCKET_ID + 36]
        if self._not_recorded.get(cookie) == identity:
            return None
        ends = addresses.ends(message)
        if self._excluded.has(ends):
            self._not_recorded[cookie] = identity
            return None
        made = self._open[cookie] = Connection(uuid.of_cookie(self._prefix, cookie), ends, ns)
        self._count.flows.labels("open").inc()
        lines.append(events.opened(ns, made.uuid, ends))
        return made

    def _enqueue(self, connection: Connection) -> None:
        if not connection.queued:
            connection.queued = True
            self._queue.append(connection)

    def replay(self) -> Iterator[bytes]:
        """An Open for every connection that is open."""
        for connection in self._open.values():
            yield events.opened(connection.start_ns, connection.uuid, connection.ends)

    def sweep(self, now_ns: int) -> None:
        """Files that are old or idle end now, whether or not their connection ever says something again."""
        for connection in self._open.values():
            segment = connection.segment
            if segment is not None and (now_ns - segment.begun_ns >= SEGMENT_NS or now_ns - segment.last_ns >= IDLE_NS):
                connection.rotate = True
                self._enqueue(connection)

    def work(self, now_ns: int) -> bool:
        """Bring the lines and files of a few connections up to date. False if there was nothing to do."""
        queue = self._queue
        if queue:
            for _ in range(min(AT_ONCE, len(queue))):
                connection = queue.popleft()
                connection.queued = False
                if connection.pending:
                    self._lines(connection)
                segment = connection.segment
                if segment is not None and (segment.size > files.SPILL_BYTES or connection.ended or connection.rotate):
                    self._file(connection, segment, now_ns)
            return True
        if self._retry and now_ns >= self._retry_ns:
            self._retry_ns = now_ns + RETRY_NS
            self._again(now_ns)
        return False

    def _again(self, now_ns: int) -> None:
        """Try what the disk refused, up to the next refusal, which goes to the end of the line."""
        waiting, self._retry = self._retry, []
        while waiting and not self._retry:
            self._finish(*waiting.pop(0), now_ns)
        self._retry = waiting + self._retry

    def _lines(self, connection: Connection) -> None:
        pending, connection.pending = connection.pending, []
        self.backlog -= len(pending)
        for ns, message in pending:
            header = message[netlink.HEADER : netlink.BODY]
            if self._anonymise is not None:
                header = self._anonymise(header)
            line, info = self._writer.snapshot(ns, header, message)
            if len(info) >= _SENT + 8:
                (sent,), (received,) = _U64.unpack_from(info, _SENT), _U64.unpack_from(info, _RECEIVED)
                # The kernel clears the counters of a socket that its program aborts before it announces the end.
                if sent >= connection.sent and received >= connection.received:
                    self.sent_bytes += sent - connection.sent
                    self.received_bytes += received - connection.received
                    connection.sent, connection.received = sent, received
            segment = connection.segment
            if segment is None:
                segment = connection.segment = files.Segment(self._folder, connection.uuid, ns)
            segment.add(ns, line)
        self.written += len(pending)

    def _file(self, connection: Connection, segment: files.Segment, now_ns: int) -> None:
        if connection.ended or connection.rotate:
            self._end(connection, segment, now_ns)
        elif now_ns >= self._retry_ns:
            if segment.streaming or self._folder.compressors < files.COMPRESSORS:
                try:
                    connection.sequence = segment.spill(
                        self._day_ns(connection, segment), connection.sequence, connection.head
                    )
                except OSError as error:
                    self._failed(connection, error, now_ns)
            elif segment.size > files.WITHOUT_COMPRESSOR_BYTES:
                self._end(connection, segment, now_ns)

    def _end(self, connection: Connection, segment: files.Segment, now_ns: int) -> None:
        sequence = connection.sequence
        connection.segment, connection.rotate = None, False
        connection.sequence += 1
        self._finish(connection, segment, sequence, now_ns)

    def _finish(self, connection: Connection, segment: files.Segment, sequence: int, now_ns: int) -> None:
        try:
            taken = segment.finish(self._day_ns(connection, segment), sequence, connection.head)
        except OSError as error:
            self._failed(connection, error, now_ns)
            self._retry.append((connection, segment, sequence))
            return
        connection.sequence = max(connection.sequence, taken + 1)

    @staticmethod
    def _day_ns(connection: Connection, segment: files.Segment) -> int:
        return connection.start_ns if segment.begun_ns == connection.start_ns else segment.begun_ns

    def _failed(self, connection: Connection, error: OSError, now_ns: int) -> None:
        if now_ns >= self._retry_ns:
            _LOG.error("cannot write the file of %s, kept in memory and tried again: %s", connection.uuid, error)
            self._retry_ns = now_ns + RETRY_NS
        self._count.file_errors.inc()

    def finish_all(self) -> int:
        """Write every file of every connection, open or not. How many could not be written."""
        now_ns = time.time_ns()
        while self._queue:
            self.work(now_ns)
        for connection in self._open.values():
            if connection.segment is not None:
                self._end(connection, connection.segment, now_ns)
        for _ in range(len(self._retry)):
            self._again(now_ns)
        return len(self._retry)
