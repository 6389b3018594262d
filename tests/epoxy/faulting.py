"""The boot server with named fault points around every boot request, at one of which it kills itself with SIGKILL.

`python -m tests.epoxy.faulting` takes the service's own arguments. `FAULT_LOG` is a file that each point passed is
added to; `FAULT_AT` names the point to die at. Points: the request arrived, before the transaction, within it, after
it is durable, before the head of the answer, before its body, after it; each by the last part of the path.
"""

from __future__ import annotations

import contextvars
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from services.epoxy import __main__ as service
from services.epoxy import logs, sqlite, store, writer

_route: contextvars.ContextVar[str] = contextvars.ContextVar("route", default="")
_LOG, _AT = os.environ.get("FAULT_LOG"), os.environ.get("FAULT_AT")


def point(name: str, route: str) -> None:
    if not route:
        return
    if _LOG:
        with Path(_LOG).open("a") as file:
            file.write(f"{route} {name}\n")
    if f"{route} {name}" == _AT:
        os.kill(os.getpid(), signal.SIGKILL)


def install() -> None:
    """Put the points around the real parts."""
    call, change, run = logs.Access.__call__, writer.Writer.change, sqlite.SqliteStore.change

    async def access(self: logs.Access, scope: Any, receive: Any, send: Any) -> None:
        path = scope.get("path", "")
        route = path.rsplit("/", 1)[-1] if path.startswith("/v1/boot/") else ""
        _route.set(route)
        point("arrived", route)

        async def sending(message: Any) -> None:
            point("before the " + message["type"].removeprefix("http.response."), route)
            await send(message)

        await call(self, scope, receive, sending)
        point("answered", route)

    async def changing(self: writer.Writer, name: str, wanted: store.Change) -> Any:
        route = _route.get()

        def within(state: Any) -> Any:
            after = wanted(state)
            point("within the transaction", route)
            return after

        within.route = route  # type: ignore[attr-defined]
        return await change(self, name, within)

    def transaction(self: sqlite.SqliteStore, wanted: Sequence[store.Wanted]) -> Any:
        routes = [getattr(one, "route", "") for _, one in wanted]
        for route in routes:
            point("before the transaction", route)
        results = run(self, wanted)
        for route in routes:
            point("durable", route)
        return results

    logs.Access.__call__ = access  # type: ignore[method-assign]
    writer.Writer.change = changing  # type: ignore[method-assign, assignment]
    sqlite.SqliteStore.change = transaction  # type: ignore[method-assign]


if __name__ == "__main__":
    install()
    sys.exit(service.main())
