"""Certificates of a boot: two authorities, one for firmware and iPXE and one for Linux, and what firmware trusts.

RSA throughout: the firmware's TLS knows no elliptic curves.
"""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

X509_TYPE = uuid.UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072")
OWNER = uuid.UUID("00000000-0000-4000-8000-6d6c61622d32")


@dataclass(frozen=True, slots=True)
class Authority:
    """A root and its key."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def signature_list(self) -> bytes:
        """The root as UEFI keeps those that its HTTPS trusts: an EFI_SIGNATURE_LIST with one X.509 certificate."""
        body = OWNER.bytes_le + self.certificate.public_bytes(serialization.Encoding.DER)
        return X509_TYPE.bytes_le + struct.pack("<III", 28 + len(body), 0, len(body)) + body


def authority(name: str) -> Authority:
    """A new root."""
    key = _key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    constraints = x509.BasicConstraints(ca=True, path_length=0)
    builder = _builder(subject, subject, key).add_extension(constraints, critical=True)
    return Authority(builder.sign(key, hashes.SHA256()), key)


def serving(issuer: Authority, name: str, certificate: Path, key_file: Path) -> None:
    """Write the chain of a server (leaf, then root) and its key."""
    key = _key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    builder = _builder(subject, issuer.certificate.subject, key).add_extension(
        x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False
    )
    leaf = builder.sign(issuer.key, hashes.SHA256())
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, *private))
    certificate.write_bytes(leaf.public_bytes(serialization.Encoding.PEM) + issuer.pem)


def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _builder(subject: x509.Name, issuer: x509.Name, key: rsa.RSAPrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
    )
