"""Whether a request for a kubelet's client certificate may be signed: pure, from the request and its token alone.

What the API server vouches for is who asks (`spec.username`, `spec.groups`); everything else is the asker's own words
and is checked. The rules are those of the approver in Kubernetes (certificates/approver/sarapprove) with one more: the
node's name must be the host that the token was made for.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from services.epoxy.tokens import bootstrap

SIGNER = "kubernetes.io/kube-apiserver-client-kubelet"
NODE_USER, NODES = "system:node:", "system:nodes"
TOKEN_USER = "system:bootstrap:"
USAGES = (
    frozenset({"digital signature", "client auth"}),
    frozenset({"key encipherment", "digital signature", "client auth"}),
)
MIN_RSA_BITS = 2048


class Decision(StrEnum):
    APPROVE = "Approved"
    DENY = "Denied"
    LEAVE = "Left"
    """Not ours to decide: another approver, or a person, may."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`reason` is one word for machines, `message` a line for people; neither holds a secret."""

    decision: Decision
    reason: str
    message: str
    host: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """A CertificateSigningRequest; `document` is the whole of it, as it must be sent back."""

    name: str
    uid: str
    username: str
    groups: frozenset[str]
    signer: str
    usages: frozenset[str]
    pem: bytes
    conditions: frozenset[str]
    document: Mapping[str, Any]

    @property
    def token_id(self) -> str:
        """The id of the token by which the asker was authenticated, "" for anybody else."""
        token_id = self.username.removeprefix(TOKEN_USER)
        ours = self.username.startswith(TOKEN_USER) and bootstrap.GROUP in self.groups
        return token_id if ours and bootstrap.is_id(token_id) else ""

    @property
    def is_renewal(self) -> bool:
        """Whether a node asks that has a certificate already."""
        return self.username.startswith(NODE_USER) and self.username != NODE_USER and NODES in self.groups

    @property
    def is_decided(self) -> bool:
        return bool(self.conditions & {"Approved", "Denied", "Failed"})


def request(document: Mapping[str, Any]) -> Request:
    """From the wire."""
    meta, spec = document["metadata"], document["spec"]
    try:
        pem = base64.b64decode(spec["request"])
    except binascii.Error:
        pem = b""
    return Request(
        name=meta["name"],
        uid=meta["uid"],
        username=spec.get("username", ""),
        groups=frozenset(spec.get("groups") or ()),
        signer=spec["signerName"],
        usages=frozenset(spec.get("usages") or ()),
        pem=pem,
        conditions=frozenset(one["type"] for one in document.get("status", {}).get("conditions") or ()),
        document=document,
    )


def without_token(asked: Request) -> Verdict | None:
    """The verdict where no token is needed for it; None where the asker came with one of ours."""
    if asked.signer != SIGNER:
        return Verdict(Decision.LEAVE, "OtherSigner", f"signer {asked.signer} is not ours")
    if asked.is_decided:
        return Verdict(Decision.LEAVE, "Decided", "somebody decided already")
    if asked.token_id:
        return None
    if asked.is_renewal:
        host = asked.username.removeprefix(NODE_USER)
        return _of(asked, host) or Verdict(Decision.APPROVE, "Renewal", f"{host} renews its own certificate", host)
    return Verdict(Decision.LEAVE, "OtherAsker", "the asker has no token of ePoxy's and is no node")


def with_token(asked: Request, token: bootstrap.Issued | None, now: datetime) -> Verdict:
    """The verdict on an asker that came with a token of ours; `token` None: its Secret is gone."""
    if token is None:
        return _deny("TokenGone", "the token was used already, has expired, or was never made by ePoxy")
    if token.expires <= now:
        return _deny("TokenExpired", f"the token of {token.host} has expired", token.host)
    if token.claim and token.claim != asked.uid:
        return _deny("TokenUsed", f"the token of {token.host} was used by request {token.claimed_by}", token.host)
    wrong = _of(asked, token.host)
    return wrong or Verdict(Decision.APPROVE, "Joined", f"ePoxy boots {token.host} and made it this token", token.host)


def _of(asked: Request, host: str) -> Verdict | None:
    """What is wrong with a request that should be for this node's client certificate; None: nothing."""
    if asked.usages not in USAGES:
        return _deny("Usages", f"usages {', '.join(sorted(asked.usages))} are not those of a kubelet's client", host)
    try:
        found = x509.load_pem_x509_csr(asked.pem)
        sound, key = found.is_signature_valid, found.public_key()
        attributes = [(part.oid, str(part.value)) for part in found.subject]
        alternatives = [one for one in found.extensions if one.oid == x509.SubjectAlternativeName.oid]
    except (ValueError, InvalidSignature, UnsupportedAlgorithm, x509.DuplicateExtension):
        return _deny("Unreadable", "the request cannot be read", host)
    if not sound:
        return _deny("Signature", "the request is not signed by its own key", host)
    if not _strong(key):
        return _deny("WeakKey", f"the key is none of ECDSA, Ed25519, RSA of at least {MIN_RSA_BITS} bits", host)
    wanted = {(NameOID.ORGANIZATION_NAME, NODES), (NameOID.COMMON_NAME, f"{NODE_USER}{host}")}
    if set(attributes) != wanted or len(attributes) != len(wanted):
        return _deny("OtherName", f"the name asked for is not exactly that of node {host} in {NODES}", host)
    if alternatives:
        return _deny("AlternativeNames", "a client's certificate bears no alternative names", host)
    return None


def _strong(key: object) -> bool:
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size >= MIN_RSA_BITS
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.key_size >= 256
    return isinstance(key, ed25519.Ed25519PublicKey)


def _deny(reason: str, message: str, host: str = "") -> Verdict:
    return Verdict(Decision.DENY, reason, message, host)
