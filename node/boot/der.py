"""The public key's hash of a certificate, as `kubeadm` pins an authority: SHA-256 over its SubjectPublicKeyInfo. Pure.

Python's standard library cannot say it, so the certificate's outermost structure (RFC 5280, 4.1; DER, X.690) is walked
here as far as that field. Nothing else in it is believed or judged; that is done by TLS.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----\s+([A-Za-z0-9+/=\s]+?)-----END CERTIFICATE-----")
_SEQUENCE, _VERSION = 0x30, 0xA0
_BEFORE_KEY = 5
"""serialNumber, signature, issuer, validity, subject."""


def key_hashes(pem: bytes) -> list[str]:
    """`sha256:…` of every certificate in the file. Raises ValueError if there is none, or one is damaged."""
    bodies = _PEM.findall(pem)
    if not bodies:
        raise ValueError("no certificate in PEM form")
    return ["sha256:" + hashlib.sha256(_key(_decoded(body))).hexdigest() for body in bodies]


def _decoded(body: bytes) -> bytes:
    try:
        return base64.b64decode(b"".join(body.split()), validate=True)
    except binascii.Error as error:
        raise ValueError(f"a certificate that is not base64: {error}") from None


def _key(certificate: bytes) -> bytes:
    start, _ = _inside(certificate, 0, _SEQUENCE)
    position, end = _inside(certificate, start, _SEQUENCE)
    if position < end and certificate[position] == _VERSION:
        position = _after(certificate, position)
    for _ in range(_BEFORE_KEY):
        position = _after(certificate, position)
    if position >= end or certificate[position] != _SEQUENCE:
        raise ValueError("a certificate without a public key where it should be")
    return certificate[position : _after(certificate, position)]


def _inside(data: bytes, position: int, tag: int) -> tuple[int, int]:
    """Start and end of the content of the element here, which must have this tag."""
    if position >= len(data) or data[position] != tag:
        raise ValueError("not a certificate")
    end = _after(data, position)
    long = data[position + 1]
    return position + 2 + (long & 0x7F if long & 0x80 else 0), end


def _after(data: bytes, position: int) -> int:
    """The place after the element here."""
    if position + 2 > len(data):
        raise ValueError("a certificate that ends too early")
    size = data[position + 1]
    start = position + 2
    if size & 0x80:
        count = size & 0x7F
        if not 1 <= count <= 4 or start + count > len(data):
            raise ValueError("a certificate with a length that is not DER")
        size = int.from_bytes(data[start : start + count], "big")
        start += count
    if start + size > len(data):
        raise ValueError("a certificate that ends too early")
    return start + size
