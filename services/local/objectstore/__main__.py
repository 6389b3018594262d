"""`python -m services.local.objectstore --listen 127.0.0.1:PORT --data DIR`.

Prints one line with its address once it answers, stops gracefully on SIGTERM and SIGINT, and serves loopback only.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import ipaddress
import logging
import signal
import socket
import sys
from pathlib import Path

import uvicorn

from services.local.objectstore import app, events, lifecycle, store
from services.local.objectstore.call import Server

DRAIN_S = 5


def arguments(given: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="objectstore", description="Cloud Storage on one machine")
    parser.add_argument("--listen", default="127.0.0.1:0", help="loopback address and port; port 0 takes a free one")
    parser.add_argument("--data", type=Path, required=True, help="folder of the stored objects")
    parser.add_argument("--rewrite-bytes", type=int, default=1 << 30, help="bytes copied by one rewrite call")
    parser.add_argument("--log-level", default="warning", choices=("debug", "info", "warning", "error"))
    return parser.parse_args(given)


def bind(listen: str) -> socket.socket:
    host, _, port = listen.rpartition(":")
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        address = None
    if address is None or not address.is_loopback or not port.isdecimal() or int(port) > 65535:
        message = f"objectstore: --listen {listen}: give 127.0.0.1:PORT; this server is for one machine only"
        raise SystemExit(message)
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    # Named TCP: asyncio turns Nagle off only then, and each small answer would wait 40 ms for the client's ACK.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((str(address), int(port)))
    except OSError as error:
        raise SystemExit(f"objectstore: --listen {listen}: {error.strerror}") from None
    return listener


async def serve(options: argparse.Namespace, listener: socket.socket) -> None:
    state = store.Store(options.data)
    host, port = listener.getsockname()[:2]
    base = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    server = Server(state, base, options.rewrite_bytes)
    config = uvicorn.Config(
        app.build(server),
        log_level=options.log_level,
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=DRAIN_S,
        h11_max_incomplete_event_size=64 * 1024,
    )
    beside = [asyncio.create_task(task) for task in (events.push(server), lifecycle.sweep(server))]
    try:
        print(base, flush=True)  # noqa: T201 - the one line that whoever started us waits for
        await uvicorn.Server(config).serve([listener])
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        state.close()


def main(given: list[str]) -> int:
    options = arguments(given)
    logging.basicConfig(level=options.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
    options.data.mkdir(parents=True, exist_ok=True)
    with (options.data / "lock").open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.stderr.write(f"objectstore: {options.data} is served by another process\n")
            return 1
        # The server raises the signal that ended it once more; to die of it then would leave the store unclosed.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        listener = bind(options.listen)
        listener.listen(128)
        asyncio.run(serve(options, listener))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
