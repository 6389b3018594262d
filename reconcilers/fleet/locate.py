"""What Locate and its clients know of services: the URLs that they ask a machine for, and who checks access tokens.

A client is written for these schemes, ports and paths; a machine that offers others is never asked. Keys are those of
Locate's API (`/v2/nearest/<experiment>/<type>`), hosts are left out of the URLs as in the heartbeat's registration.
"""

from __future__ import annotations

from collections.abc import Mapping


def _each(schemes: str, *rest: str) -> frozenset[str]:
    return frozenset(f"{scheme}://{end}" for scheme in schemes.split() for end in rest)


SERVICES: Mapping[str, frozenset[str]] = {
    "msak/latency1": _each("http https", "/latency/v1/authorize", "/latency/v1/result"),
    "msak/throughput1": _each("ws wss", "/throughput/v1/download", "/throughput/v1/upload"),
    "ndt/ndt5": frozenset({"ws://:3001/ndt_protocol", "wss://:3010/ndt_protocol"}),
    "ndt/ndt7": _each("ws wss", "/ndt/v7/download", "/ndt/v7/upload"),
    "neubot/dash": _each("http https", "/negotiate/dash"),
    "pt/ndt7": _each("ws wss", "/v0/ndt7/download"),
    "wehe/replay": frozenset({"wss://:4443/v0/envelope/access"}),
}
CHECKED = frozenset({"msak/latency1", "msak/throughput1", "ndt/ndt5", "ndt/ndt7", "wehe/replay"})
"""Services whose machines let in clients that carry a token of Locate's, and so need the key that it is signed for."""
