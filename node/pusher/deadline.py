"""Attempts that end in time, whatever a server does: when one takes too long, its connection is shut down.

A limit of `requests` holds for each piece of an answer only. Here every connection tells which attempt uses it, and one
thread shuts those whose time is over; the client then sees a connection that broke, which it knows how to report.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import requests
import requests.adapters
import urllib3.connection
import urllib3.connectionpool


class _Attempt:
    def __init__(self, due: float) -> None:
        self.due = due
        self.over = False
        self.sockets: list[socket.socket] = []


class Deadlines:
    """The limit of all attempts of one client."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._local = threading.local()
        self._running: set[_Attempt] = set()
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """All that this thread asks for inside ends in time."""
        made = _Attempt(time.monotonic() + self._limit_s)
        with self._changed:
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, daemon=True, name="deadlines")
                self._thread.start()
            self._running.add(made)
            self._changed.notify()
        self._local.attempt = made
        try:
            yield
        finally:
            self._local.attempt = None
            with self._changed:
                self._running.discard(made)

    def uses(self, used: socket.socket | None) -> None:
        """The attempt of this thread uses this connection."""
        made: _Attempt | None = getattr(self._local, "attempt", None)
        if made is None or used is None:
            return
        with self._changed:
            if used not in made.sockets:
                made.sockets.append(used)
            if made.over:
                _shut(used)

    def _watch(self) -> None:
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                for made in self._running:
                    if made.due <= now and not made.over:
                        made.over = True
                        for used in made.sockets:
                            _shut(used)
                waits = [made.due - now for made in self._running if not made.over]
                self._changed.wait(max(0.01, min(waits)) if waits else None)

    def mount(self, session: requests.Session, connections: int) -> None:
        """Put a session under the limit."""
        uses = self.uses

        class _Telling:
            sock: Any

            def request(self, *words: Any, **options: Any) -> None:
                if self.sock is None:
                    self.connect()  # type: ignore[attr-defined]
                uses(self.sock)
                super().request(*words, **options)  # type: ignore[misc]

        class _Plain(_Telling, urllib3.connection.HTTPConnection):
            pass

        class _Tls(_Telling, urllib3.connection.HTTPSConnection):
            pass

        class _PlainPool(urllib3.connectionpool.HTTPConnectionPool):
            ConnectionCls = _Plain

        class _TlsPool(urllib3.connectionpool.HTTPSConnectionPool):
            ConnectionCls = _Tls

        adapter = requests.adapters.HTTPAdapter(pool_connections=4, pool_maxsize=connections)
        adapter.poolmanager.pool_classes_by_scheme = {"http": _PlainPool, "https": _TlsPool}
        session.mount("https://", adapter)
        session.mount("http://", adapter)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()


def _shut(used: socket.socket) -> None:
    with suppress(OSError):
        # Not the method of a TLS socket, which would take the layer away below the thread that reads.
        socket.socket.shutdown(used, socket.SHUT_RDWR)
