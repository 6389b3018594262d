"""A server of a test, in a thread of its own."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

POLL_S = 0.02
"""How soon a server notices that it is to end."""


@contextmanager
def served(server: socketserver.BaseServer) -> Iterator[None]:
    """Serve until the block ends, however it ends; then neither the thread nor the socket is left."""
    thread = threading.Thread(target=server.serve_forever, args=(POLL_S,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
