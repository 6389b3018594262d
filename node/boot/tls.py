"""Whom the machine trusts, and which cipher it asks for.

Trust is one file of authorities (`/etc/mlab/ca.pem` where an image carries it) or what the system has; names are
always checked, TLS 1.2 is the least.

On a processor without AES instructions AES-GCM is seven times as slow as ChaCha20-Poly1305 (31 and 217 MB/s on an
emulated one), and a server that prefers its own order picks AES. So such a machine offers ChaCha20 alone at first, in
TLS 1.2, where Python can choose; a server that has none gets a second connection with everything.
"""

from __future__ import annotations

import functools
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from node.boot.errors import Usage

CA_FILE = Path("/etc/mlab/ca.pem")
_CHACHA = "ECDHE+CHACHA20"


Offer = Callable[[], ssl.SSLContext]
"""Makes a context at its first call: the system's authorities alone take a second on an emulated processor."""


def offers(ca_file: Path | None, cpu_flags: str | None = None) -> tuple[Offer, ...]:
    """What a connection offers, in this order. `ca_file` None: the image's file, or the system's. Raises `Usage`."""
    if ca_file is None and CA_FILE.is_file():
        ca_file = CA_FILE
    ciphers = (None,) if _has_aes(cpu_flags) else (_CHACHA, None)
    made = tuple(functools.cache(functools.partial(_context, ca_file, one)) for one in ciphers)
    made[0]()
    return made


def _context(ca_file: Path | None, ciphers: str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise Usage(f"{ca_file}: no certificates of authorities there: {error}; see --ca-file") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ciphers is not None:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(ciphers)
    return context


def may_try_next(error: ssl.SSLError) -> bool:
    """Whether a handshake failed for want of a common version or cipher, and not for want of trust."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return False
    words: Sequence[str] = ("HANDSHAKE_FAILURE", "PROTOCOL_VERSION", "NO_SHARED_CIPHER", "INSUFFICIENT_SECURITY")
    return any(word in str(error.reason or error) for word in words)


def _has_aes(cpu_flags: str | None) -> bool:
    """True where it cannot be told: then nothing is done about it."""
    if cpu_flags is None:
        cpu_flags = ""
        with suppress(OSError):
            for line in Path("/proc/cpuinfo").read_text().splitlines():
                if line.startswith(("flags", "Features")):
                    cpu_flags = line
                    break
    return not cpu_flags or "aes" in cpu_flags.split()
