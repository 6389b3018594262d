"""The two TLS identities: one for firmware and iPXE, with what these still need, one for everything else.

Firmware speaks TLS 1.2 at most and may know neither elliptic curves nor AEAD, so its listener has DH parameters
(RFC 7919), a lower security level and, behind a switch, two older suites; its certificate file ends with the root,
because iPXE knows that one by its fingerprint alone. A certificate that changes on disk is used for the next
handshake; one that cannot be used changes nothing and is counted.
"""

from __future__ import annotations

import logging
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from services.epoxy import handshakes

OLD_SUITES = ("DHE-RSA-AES256-SHA256", "AES256-SHA256")
_SUITES = ("ECDHE+AESGCM", "DHE+AESGCM")
_FFDHE2048 = """-----BEGIN DH PARAMETERS-----
MIIBCAKCAQEA//////////+t+FRYortKmq/cViAnPTzx2LnFg84tNpWp4TZBFGQz
+8yTnc4kmz75fS/jY2MMddj2gbICrsRhetPfHtXV/WVhJDP1H18GbtCFY2VVPe0a
87VXE15/V8k1mE8McODmi3fipona8+/och3xWKE2rec1MKzKT0g6eXq8CrGCsyT7
YdEIqUuyyOP7uWrat2DX9GgdT0Kj3jlN9K5W7edjcrsZCwenyO4KbXCeAvzhzffi
7MA0BM0oNC9hkXL+nOmFg/+OTxIy7vKBg8P+OxtMb61zO7X8vC7CIAXFjvGDfRaD
ssbzSibBsu/6iGtCOGEoXJf//////////wIBAg==
-----END DH PARAMETERS-----
"""
_LOG = logging.getLogger("epoxy.tls")


@dataclass(frozen=True, slots=True)
class Files:
    """A certificate chain and its key, as PEM files."""

    certificate: Path
    key: Path


@dataclass(slots=True)
class Identity:
    """A listener's context, and which state of its files it holds."""

    name: str
    files: Files
    context: handshakes.Context
    rom: bool
    not_after_s: float = 0.0
    failures: int = 0
    _seen: tuple[tuple[int, ...], ...] = field(default=())

    def refresh(self) -> None:
        """Take the files up if they changed. Raises nothing: the former certificate stays in use."""
        try:
            self.load()
        except (OSError, ValueError) as error:
            self.failures += 1
            _LOG.error("certificate not taken up", extra={"fields": {"listener": self.name, "error": str(error)}})

    def load(self) -> None:
        """Raises ValueError or OSError; then the context is as it was."""
        seen = _seen(self.files)
        if seen == self._seen:
            return
        self._seen = seen
        chain = _chain(self.files.certificate)
        _check(self.files, chain, rom=self.rom)
        self.context.load_cert_chain(self.files.certificate, self.files.key)
        self.not_after_s = chain[0].not_valid_after_utc.timestamp()
        _LOG.info("certificate", extra={"fields": {"listener": self.name, "until": str(chain[0].not_valid_after_utc)}})


def ask_for_certificates(identity: Identity, authority: Path) -> None:
    """Ask clients for a certificate of this authority; whether one is needed is decided by request, not here.

    Raises ValueError or OSError.
    """
    try:
        identity.context.load_verify_locations(authority)
    except ssl.SSLError as error:
        raise ValueError(f"{authority}: no authority in PEM form ({error.reason})") from None
    identity.context.verify_mode = ssl.CERT_OPTIONAL


def names(certificate: Mapping[str, Any] | None) -> frozenset[str]:
    """The names that a verified certificate of a client is for."""
    found = certificate or {}
    alternative = {value for kind, value in found.get("subjectAltName", ()) if kind == "DNS"}
    common = {value for part in found.get("subject", ()) for key, value in part if key == "commonName"}
    return frozenset(alternative or common)


def rom(files: Files, *, old_suites: bool) -> Identity:
    """The identity for firmware and iPXE. Raises ValueError or OSError."""
    context = _context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    suites = (*_SUITES, *(OLD_SUITES if old_suites else ()))
    context.set_ciphers(":".join((*suites, "@SECLEVEL=1")))
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(_FFDHE2048)
        file.flush()
        context.load_dh_params(file.name)
    return _loaded(Identity("rom", files, context, rom=True))


def modern(files: Files) -> Identity:
    """The identity for Linux and administrators. Raises ValueError or OSError."""
    context = _context()
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    return _loaded(Identity("linux", files, context, rom=False))


def _context() -> handshakes.Context:
    context = handshakes.Context(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_RENEGOTIATION
    return context


def _loaded(identity: Identity) -> Identity:
    identity.load()
    return identity


def _chain(path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except ValueError:
        raise ValueError(f"{path}: no PEM certificates") from None


def _check(files: Files, chain: list[x509.Certificate], *, rom: bool) -> None:
    """Try the pair on a context that nobody uses; for the ROM also what iPXE needs of it."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(files.certificate, files.key, password="")
    except ssl.SSLError as error:
        raise ValueError(f"{files.certificate}, {files.key}: do not belong together ({error.reason})") from None
    if rom and not isinstance(chain[0].public_key(), rsa.RSAPublicKey):
        raise ValueError(f"{files.certificate}: the leaf must have an RSA key; the suites of old firmware need one")
    if rom and chain[-1].subject != chain[-1].issuer:
        raise ValueError(f"{files.certificate}: the last certificate must be the root; iPXE needs it in the chain")


def _seen(files: Files) -> tuple[tuple[int, ...], ...]:
    states = (path.stat() for path in (files.certificate, files.key))
    return tuple((state.st_mtime_ns, state.st_size, state.st_ino) for state in states)
