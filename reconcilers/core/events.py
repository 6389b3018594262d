"""What happens during a run, as it happens: one value a step, for a progress line, a JSON stream and the tests.

The engine tells `scope_locked`, `change_started`, `change_finished`, `health_wait`, `retry` and `scope_finished`
(`lost`: its lock was not ours to the end); those of the whole run (`start`, `diagnostic`, `scope_planned`,
`change_planned`, `summary`) are made where the run is put together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """One step; `data` is JSON and carries no secret."""

    kind: str
    scope: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


Listener = Callable[[Event], None]
