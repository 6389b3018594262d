"""TLS handshakes that came to nothing, by listener and reason: who was given a wrong name or authority goes away so.

asyncio tells nobody of them: the application's protocol begins after the handshake, and the error is logged in debug
mode only. So the protocol below it is taken by one that tells; which listener it was is known by its context.
"""

from __future__ import annotations

import asyncio.sslproto
import ssl
from collections.abc import Callable

ENDED = "ended"
"""The client went away without a word, as firmware does that does not trust a certificate."""
SLOW = "slow"
"""It had its time and did not come to an end."""
REASONS = frozenset(
    {
        *("no_shared_cipher", "unsupported_protocol", "wrong_version_number", "http_request", "unexpected_message"),
        *("tlsv1_alert_unknown_ca", "sslv3_alert_bad_certificate", "sslv3_alert_certificate_unknown"),
        *("sslv3_alert_certificate_expired", "sslv3_alert_handshake_failure", "tlsv1_alert_access_denied"),
        *("tlsv1_alert_protocol_version", "certificate_verify_failed", "tlsv1_alert_internal_error"),
    }
)
"""What is told by its name; a client cannot make more series than these."""


class Context(ssl.SSLContext):
    """A context that knows whom to tell of a failed handshake."""

    failed: Callable[[str], None] | None = None


class _Telling(asyncio.sslproto.SSLProtocol):
    _told = False

    def _on_handshake_complete(self, handshake_exc: BaseException | None) -> None:
        if handshake_exc is not None:
            self._tell(reason(handshake_exc))
        super()._on_handshake_complete(handshake_exc)

    def _check_handshake_timeout(self) -> None:
        if self._under_way():
            self._tell(SLOW)
        super()._check_handshake_timeout()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._under_way():
            self._tell(ENDED)
        super().connection_lost(exc)

    def _under_way(self) -> bool:
        here: object = self._state  # type: ignore[attr-defined]
        return here is asyncio.sslproto.SSLProtocolState.DO_HANDSHAKE

    def _tell(self, why: str) -> None:
        failed = getattr(self._sslcontext, "failed", None)
        if failed is not None and not self._told:
            self._told = True
            failed(why)


def tell() -> None:
    """From now on contexts of this process are told. Idempotent."""
    asyncio.sslproto.SSLProtocol = _Telling  # type: ignore[misc]


def reason(error: object) -> str:
    """The label of an error; asyncio hands the type where the connection ended in the middle."""
    if not isinstance(error, ssl.SSLError):
        return ENDED
    name = (error.reason or "").lower()
    return name if name in REASONS else "other"
