"""How long a client waits for a server. Each provider has its own values; `mlab --timeout` lowers them all."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds to connect, between two pieces of an answer, and for a whole call."""

    connect_s: float = 3.0
    read_s: float = 10.0
    total_s: float = 30.0

    def at_most(self, seconds: float) -> Limits:
        """The same, none of them longer than that."""
        return Limits(min(self.connect_s, seconds), min(self.read_s, seconds), min(self.total_s, seconds))
