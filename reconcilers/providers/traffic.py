"""How often each target was asked and what it answered, for whoever counts: the loop's metrics.

Providers note each answer; without a listener that costs one comparison. A request without an answer is not counted
here: it is the failure of its run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import requests

Listener = Callable[[str, str, int], None]
_listener: Listener | None = None


def listen(listener: Listener | None) -> None:
    """From now on call this with provider, HTTP method and status of each answer."""
    global _listener
    _listener = listener


def note(provider: str, method: str, status: int) -> None:
    """One answer came."""
    if _listener is not None:
        _listener(provider, method, status)


def watch(session: requests.Session, provider: str) -> None:
    """Note every answer that comes through a session of requests."""

    def answered(response: requests.Response, *args: Any, **more: Any) -> None:
        note(provider, str(response.request.method), response.status_code)

    session.hooks["response"].append(answered)
