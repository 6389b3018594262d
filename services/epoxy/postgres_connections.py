"""Connections to PostgreSQL: what they are opened with, how long they may take, and what their errors become.

The driver waits for ever for a server that neither answers nor closes; here each transaction has its time, after which
its connection is cut. Errors are `store.StoreError`, without what they quote of a row or of the URL.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
import psycopg_pool
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from services.epoxy import store

CONNECT_S, WAIT_S, TOTAL_S = 3, 5.0, 15.0
"""Seconds for a new connection, for a free one, and for a transaction whose server says nothing."""
CONNECTIONS = 8
_SETTINGS = (
    "-c search_path=epoxy -c synchronous_commit=on -c client_encoding=UTF8 -c standard_conforming_strings=on"
    " -c statement_timeout=5s -c lock_timeout=5s -c idle_in_transaction_session_timeout=15s"
)
Connection = psycopg.Connection[tuple[object, ...]]


def pool(url: str) -> psycopg_pool.ConnectionPool[Connection]:
    """Connections to a database, made as they are needed. Raises ValueError for an unusable URL."""
    return psycopg_pool.ConnectionPool(
        information(url),
        min_size=1,
        max_size=CONNECTIONS,
        timeout=WAIT_S,
        reconnect_timeout=CONNECT_S,
        # A connection that the server closed meanwhile is replaced before it is handed out.
        check=_alive,
        open=True,
    )


def information(url: str) -> str:
    try:
        given = conninfo_to_dict(url)
    except psycopg.Error:
        # Neither the URL nor the driver's words are repeated: a password may stand in them.
        raise ValueError("--store: not a PostgreSQL URL; give postgresql://user@host/database") from None
    if given.get("password"):
        raise ValueError("--store: a password in a URL is seen by everybody; put it into a file that PGPASSFILE names")
    options = f"{given.get('options') or ''} {_SETTINGS}".strip()
    alive: dict[str, str | int] = {
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 10_000,
    }
    return make_conninfo(url, **alive, connect_timeout=CONNECT_S, options=options)


@contextmanager
def translated() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        # Only the first line: what follows may quote the values of a row.
        said = str(error).partition("\n")[0] or type(error).__name__
        raise store.StoreError(f"PostgreSQL: {said}") from None


@contextmanager
def bounded(db: Connection) -> Iterator[None]:
    """Cut the connection where the server neither answers nor closes it: the driver would wait for ever."""
    guard, ended = threading.Lock(), False

    def cut() -> None:
        with guard:
            # It may have broken by itself in this very moment.
            if not ended:
                with suppress(psycopg.Error, OSError), socket.socket(fileno=os.dup(db.fileno())) as stream:
                    stream.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(TOTAL_S, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        with guard:
            ended = True


def _alive(db: Connection) -> None:
    with bounded(db):
        psycopg_pool.ConnectionPool.check_connection(db)
