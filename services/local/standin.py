"""The stand-in for the fleet on the platform on one machine: nothing that Prometheus asks for leaves loopback.

Two listeners with one set of answers. Prometheus uses the first as the proxy of every job, and whatever name it asks
for gets samples (`standin_fleet`). Alertmanager posts to the second, which keeps what it is told:

    GET  /healthz           ok
    GET  /alerts            what the receivers were told, oldest first: [{"receiver", "at", "message"}]
    GET  /control           {"down": [...], "maintenance": [...], "asked": {"scrapes": n, "alerts": n}, "machines": n}
    POST /control           {"down": ["mlab1-abc01.mlab-oti.example.test"]} breaks exactly these names from now on
    POST /<receiver>        a webhook message of Alertmanager (version 4)

It never opens a connection. `CONNECT` is refused: behind a proxy all jobs are rendered in clear text.
"""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import json
import resource
import signal
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from services.local import standin_fleet as fleet
from services.local.standin_http import JSON, Connection, Request, Response

KEPT_MESSAGES = 2000


class StandIn:
    """The faults that are set, the machines that were asked about, and the messages that came."""

    def __init__(self) -> None:
        self.faults = fleet.Faults()
        self.machines: set[str] = set()
        self.messages: deque[dict[str, Any]] = deque(maxlen=KEPT_MESSAGES)
        self.scrapes = 0
        self.alerts = 0

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        if request.method == "CONNECT":
            return Response(405, "this proxy does not tunnel: it stands for the fleet itself, in clear text\n")
        if not request.target.startswith("/"):
            return self._scrape(request)
        path = request.target.partition("?")[0]
        if request.method in ("GET", "HEAD"):
            return self._show(path)
        if request.method != "POST":
            return Response(405, f"{request.method} is not for this server\n")
        return self._control(request.body) if path == "/control" else self._message(path, request.body)

    def _scrape(self, request: Request) -> Response:
        if request.method != "GET":
            return Response(405, "only GET goes through this proxy\n")
        try:
            asked = fleet.question(request.target)
        except ValueError as error:
            return Response(400, f"{error}\n")
        self.scrapes += 1
        machine = fleet.machine_of(asked.target)
        if machine:
            self.machines.add(machine)
        text = fleet.answer(asked, self.faults, self.machines, time.time())
        if text is None:
            return Response(502, f"{asked.host} is down\n")
        return Response(200, text)

    def _show(self, path: str) -> Response:
        if path == "/healthz":
            return Response(200, "ok\n")
        if path == "/alerts":
            return Response(200, json.dumps(list(self.messages)), JSON)
        if path == "/control":
            return Response(200, self._state(), JSON)
        return Response(404, f"{path[:80]}: there is /healthz, /alerts and /control\n")

    def _state(self) -> str:
        return json.dumps(
            {
                "down": sorted(self.faults.down),
                "maintenance": sorted(self.faults.maintenance),
                "asked": {"scrapes": self.scrapes, "alerts": self.alerts},
                "machines": len(self.machines),
            }
        )

    def _control(self, body: bytes) -> Response:
        try:
            wishes = json.loads(body)
            if not isinstance(wishes, dict) or not wishes.keys() <= {"down", "maintenance"}:
                raise ValueError("an object with down, maintenance or both")
            for key, value in wishes.items():
                if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
                    raise ValueError(f"{key} is a list of names")
        except ValueError as error:
            return Response(400, f"/control: {error}\n")
        self.faults = replace(self.faults, **{key: frozenset(value) for key, value in wishes.items()})
        return Response(200, self._state(), JSON)

    def _message(self, path: str, body: bytes) -> Response:
        try:
            message = json.loads(body)
            count = len(message["alerts"])
        except (ValueError, TypeError, KeyError):
            return Response(400, "no message of Alertmanager: JSON with alerts is expected\n")
        receiver = unquote(path.rpartition("/")[2])
        self.messages.append({"receiver": receiver, "at": round(time.time(), 3), "message": message})
        self.alerts += count
        return Response(200)


async def serve(standin: StandIn, addresses: Sequence[tuple[str, int]]) -> None:
    """Listen until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    servers = [await loop.create_server(lambda: Connection(standin.handle), host, port) for host, port in addresses]
    await stop.wait()
    for server in servers:
        server.close()


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    try:
        loopback = ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        loopback = False
    if not colon or not loopback or not port.isdecimal() or not 0 < int(port) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r}: it listens on loopback only; give 127.0.0.1:PORT")
    return host.strip("[]"), int(port)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until told to stop."""
    parser = argparse.ArgumentParser(prog="services.local.standin", description="Stand in for the fleet, on loopback.")
    parser.add_argument("--proxy", type=_address, required=True, help="address for Prometheus' proxy_url")
    parser.add_argument("--receiver", type=_address, help="a second address, for Alertmanager's webhooks")
    chosen = parser.parse_args(arguments)
    addresses = [chosen.proxy] + ([chosen.receiver] if chosen.receiver else [])
    # One connection per concurrent scrape: the usual soft limit of 1024 is less than a fleet's worth.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        asyncio.run(serve(StandIn(), addresses))
    except OSError as error:
        sys.stderr.write(f"standin: cannot listen: {error.strerror or error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
