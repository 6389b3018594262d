"""The approver as a program: its metrics, and its end at once, since whatever it does may be cut short."""

from __future__ import annotations

import argparse
import logging
import signal
import threading

import prometheus_client

from services.epoxy.tokens import approver
from services.epoxy.tokens.api import Api
from services.epoxy.tokens.metrics import ApproverMetrics

_LOG = logging.getLogger("epoxy.approver")


def run(options: argparse.Namespace, api: Api) -> int:
    """Approve until a signal asks to stop. Raises ValueError or OSError where it cannot start."""
    counted, stop = ApproverMetrics(), threading.Event()
    host, _, port = options.listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"--listen {options.listen!r}: give ADDRESS:PORT with a port from 0 to 65535")
    web, thread = prometheus_client.start_http_server(int(port), host.strip("[]"), counted.registry)

    def end(number: int, frame: object) -> None:
        stop.set()
        # A watch would wait for half a minute.
        raise SystemExit(0)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    _LOG.info("listening", extra={"fields": {"address": f"{host}:{web.server_port}"}})
    try:
        approver.run(api, counted, stop)
    finally:
        web.shutdown()
        web.server_close()
        thread.join()
    return 0
