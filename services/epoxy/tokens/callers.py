"""Who may ask for tokens: by address always, by a bearer token too where one is configured.

The original's extension server left this to a firewall, so that whoever reached the port got a token for any name. An
original ePoxy server sends no credentials; for it the addresses alone must do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from services.epoxy import auth, callers

LOOPBACK = "127.0.0.0/8,::1/128"


class Refused(Exception):
    """`status` is the answer, `reason` a word for the metric."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Callers:
    """Peers of the connection, and the tokens one of which must be presented; None: no token is asked for."""

    peers: Sequence[callers.Network]
    tokens: auth.Tokens | None

    def check(self, peer: str, authorization: str | None) -> None:
        """Raises `Refused`."""
        address = callers.parse(peer)
        if address is None or not any(address in network for network in self.peers):
            raise Refused(403, "address")
        if self.tokens is None:
            return
        try:
            role = self.tokens.role(authorization)
        except ValueError:
            raise Refused(503, "token-file") from None
        if role is None:
            raise Refused(401, "token")


def configured(peers: str, token_file: Path | None) -> Callers:
    """From the command line. Raises ValueError that names what is wrong."""
    try:
        networks = callers.networks(peers)
    except ValueError as error:
        raise ValueError(f"--peers {peers!r}: {error}; give prefixes with commas between them") from None
    return Callers(networks, None if token_file is None else auth.Tokens(token_file))
