"""Two authorities of a test's own and certificates by them: RSA, because firmware asks for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID


@cache
def _key(purpose: str) -> rsa.RSAPrivateKey:
    """One key for each purpose and process: making one takes a tenth of a second of processor time."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def root(name: str) -> x509.Certificate:
    """A self-signed authority; its key is this process's own."""
    return _certificate(name, name, _key(name).public_key(), ca=True)


def serve(
    folder: Path,
    name: str,
    issuer: str,
    *,
    days: int = 30,
    with_root: bool = True,
    curve: bool = False,
    names: tuple[str, ...] = ("localhost",),
) -> Path:
    """Write `NAME.pem` (leaf, and the root behind it) and `NAME.key` for the loopback; the path of the former."""
    key = ec.generate_private_key(ec.SECP256R1()) if curve else _key(f"{name} leaf")
    chain = [
        _certificate(f"{name}.test", issuer, key.public_key(), ca=False, days=days, names=names),
        *([root(issuer)] if with_root else []),
    ]
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    path = folder / f"{name}.pem"
    path.write_bytes(b"".join(one.public_bytes(serialization.Encoding.PEM) for one in chain))
    return path


def trust(folder: Path, issuer: str) -> Path:
    """The file of an authority, for a client."""
    path = folder / f"{issuer}-ca.pem"
    path.write_bytes(root(issuer).public_bytes(serialization.Encoding.PEM))
    return path


def _certificate(
    name: str,
    issuer: str,
    key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey,
    *,
    ca: bool,
    days: int = 30,
    names: tuple[str, ...] = (),
) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(issuer))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if not ca:
        shown = [*(x509.DNSName(one) for one in names), x509.IPAddress(ip_address("127.0.0.1"))]
        builder = builder.add_extension(x509.SubjectAlternativeName(shown), critical=False)
    return builder.sign(_key(issuer), hashes.SHA256())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
