"""`python -m services.epoxy`: the registry of hosts behind its administration API.

SIGTERM and SIGINT stop it gracefully: no new connection, requests under way are finished, exit 0. With port 0 the
system chooses one; the line `listening` on stderr tells which.
"""

from __future__ import annotations

import argparse
import logging
import signal
import socket
import sys
from pathlib import Path

import prometheus_client
import uvicorn

from services.epoxy import app, auth, logs, store

GRACE_S = 30
_LOG = logging.getLogger("epoxy")


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(prog="services.epoxy", description="ePoxy's host registry.")
    result.add_argument("--listen", required=True, metavar="ADDRESS:PORT", help="IPv4 address and port; port 0: any")
    result.add_argument("--store", required=True, metavar="URL", help="sqlite:///absolute/path")
    result.add_argument("--admin-token-file", required=True, type=Path, metavar="FILE", help="one token a line")
    result.add_argument("--read-token-file", type=Path, metavar="FILE", help="tokens that may only read")
    return result


def run(listen: str, store_url: str, tokens: auth.Tokens) -> int:
    """Serve until a signal asks to stop."""
    listener = socket.create_server(_address(listen), backlog=1024)
    # Accepted connections inherit it. asyncio would set it only on sockets made with the TCP protocol number, and
    # without it each answer waits 40 ms for the acknowledgement of its head.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        application = app.build(store.connect(store_url), tokens)
        config = uvicorn.Config(
            application,
            http="h11",
            loop="asyncio",
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=GRACE_S,
        )
        # uvicorn raises the signal again once it has stopped; without a handler of ours that would be a death by
        # signal instead of a clean exit.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        address = "{}:{}".format(*listener.getsockname()[:2])
        _LOG.info("listening", extra={"fields": {"address": address, "store": store_url}})
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        listener.close()
    _LOG.info("stopped")
    return 0


def _address(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    if not host or not (port.isascii() and port.isdecimal()) or int(port) > 65535:
        raise ValueError(f"--listen {listen!r}: give ADDRESS:PORT with a port from 0 to 65535")
    return host, int(port)


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    logs.configure()
    # The creation time of each counter would double every series. The library has no types for this call.
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
    try:
        tokens = auth.Tokens(options.admin_token_file, options.read_token_file)
        return run(options.listen, options.store, tokens)
    except (ValueError, OSError, store.StoreError) as error:
        _LOG.error("cannot start", extra={"fields": {"error": str(error)}})
        return 1


if __name__ == "__main__":
    sys.exit(main())
