"""Logs as one JSON object a line, and the line of each request.

A line holds method, path, status and duration; never a header, a query string or a body, where secrets travel. A
session id is a part of its path: what could be one is left out, wherever in a path it stands.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from datetime import UTC, datetime
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.epoxy import errors, metrics

_LOG = logging.getLogger("epoxy.http")
_TEXT_LIMIT = 256
_IDS = re.compile(r"[A-Za-z0-9_-]{20,}|(?<=/v1/boot/)([^/]*/)[^/]+(?=/)")
_METHODS = frozenset({"GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"})


class JsonLines(logging.Formatter):
    """One object a line; what a record carries in `fields` is merged in."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage()[:1024],
        }
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line)


def configure(level: int = logging.INFO) -> None:
    """Send everything to stderr as JSON lines; uvicorn's own loggers too, its access log never."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)


def shown(path: str) -> str:
    """A path as it may be logged."""
    return _IDS.sub(lambda found: f"{found[1] or ''}-", path)[:_TEXT_LIMIT]


class Access:
    """Outermost: counts, times and logs each request, and answers 500 or 503 where nothing else did."""

    def __init__(self, app: ASGIApp, counted: metrics.Metrics) -> None:
        self._app = app
        self._metrics = counted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.monotonic()
        status, broken = 0, False

        async def counting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, counting)
        except ConnectionAbortedError as error:
            broken = True
            _LOG.warning("answer broken off", extra={"fields": {"path": shown(scope["path"]), "error": str(error)}})
        except Exception:
            _LOG.exception("request failed by a bug", extra={"fields": {"path": shown(scope["path"])}})
            if not status:
                failure = errors.ApiError(500, "internal", "the service failed; its log says why")
                await failure.response()(scope, receive, counting)
        finally:
            self._record(scope, status, time.monotonic() - begun, broken=broken)

    def _record(self, scope: Scope, status: int, seconds: float, *, broken: bool) -> None:
        endpoint = getattr(scope.get("endpoint"), "__name__", "none").lower()
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.requests.labels(endpoint, method, str(status)).inc()
        self._metrics.durations.labels(endpoint, method).observe(seconds)
        if endpoint == "stage1_ipxe":
            self._metrics.stage1_seconds.labels(str(status)).observe(seconds)
        quiet = endpoint in ("healthz", "metrics") and status == 200
        fields = {
            "method": method,
            "path": shown(scope["path"]),
            "status": status,
            "ms": round(seconds * 1000, 1),
            "role": scope.get("epoxy.role", "none"),
            "peer": (scope.get("client") or ("", 0))[0],
        }
        for name in ("listener", "tls"):
            if shown_of := scope.get("state", {}).get(name):
                fields[name] = shown_of
        if broken:
            fields["broken"] = True
        if "epoxy.refused" in scope:
            fields["refused"] = scope["epoxy.refused"]
        _LOG.log(logging.DEBUG if quiet else logging.INFO, "request", extra={"fields": fields})
