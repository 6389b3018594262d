"""A bootstrap token and its Secret: who it is for, how long, and which request for a certificate has used it.

The Secret's form is Kubernetes' own (type `bootstrap.kubernetes.io/token`), so that the API server authenticates with
it and `kubeadm join` finds it. Its group is one of ours: the approver that is built into Kubernetes has no permission
for it, so nothing but our approver ever says yes to its bearer.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

NAMESPACE = "kube-system"
PATH = f"/api/v1/namespaces/{NAMESPACE}/secrets"
GROUP = "system:bootstrappers:epoxy"
TYPE = "bootstrap.kubernetes.io/token"
LIFETIME = timedelta(minutes=5)
LABEL, HOST_LABEL = "mlab.io/epoxy-token", "mlab.io/epoxy-host-digest"
HOST, CLAIM = "mlab.io/epoxy-host", "mlab.io/epoxy-claim"
SELECTOR = f"{LABEL}=true"
_ALPHABET = string.ascii_lowercase + string.digits
_ID = re.compile(r"[a-z0-9]{6}")


@dataclass(frozen=True, slots=True)
class Token:
    """A new token. `text` is the secret that its bearer presents; it is in no representation of this value."""

    id: str
    secret: str = field(repr=False)

    @property
    def text(self) -> str:
        return f"{self.id}.{self.secret}"


@dataclass(frozen=True, slots=True)
class Issued:
    """What the cluster says of a token: everything but the token. `claim` is the uid of the request that used it."""

    id: str
    uid: str
    version: str
    host: str
    expires: datetime
    claim: str = ""
    claimed_by: str = ""

    @property
    def name(self) -> str:
        return secret_name(self.id)

    @property
    def path(self) -> str:
        return f"{PATH}/{self.name}"


def new() -> Token:
    """A random token: 31 bits of name, 82 bits of secret."""
    return Token(_random(6), _random(16))


def secret_name(token_id: str) -> str:
    return f"bootstrap-token-{token_id}"


def is_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None


def host_selector(host: str) -> str:
    """Selects all tokens of one host. A name of up to 253 characters does not fit a label; its digest does."""
    return f"{HOST_LABEL}={_digest(host)}"


def manifest(token: Token, host: str, now: datetime) -> dict[str, Any]:
    """The Secret of a token for this host; signing is what `kubeadm join` finds the cluster's address by."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": secret_name(token.id),
            "namespace": NAMESPACE,
            "labels": {LABEL: "true", HOST_LABEL: _digest(host)},
            "annotations": {HOST: host},
        },
        "type": TYPE,
        "stringData": {
            "token-id": token.id,
            "token-secret": token.secret,
            "expiration": (now + LIFETIME).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "usage-bootstrap-authentication": "true",
            "usage-bootstrap-signing": "true",
            "auth-extra-groups": GROUP,
            "description": f"Allow {host} to join the cluster",
        },
    }


def issued(secret: Mapping[str, Any]) -> Issued | None:
    """A Secret of the cluster as a token of ours, None where it is none."""
    meta = secret["metadata"]
    labels, notes, data = meta.get("labels") or {}, meta.get("annotations") or {}, secret.get("data") or {}
    host, name = notes.get(HOST, ""), str(meta["name"])
    if secret.get("type") != TYPE or labels.get(LABEL) != "true" or labels.get(HOST_LABEL) != _digest(host):
        return None
    claimed_by, _, claim = notes.get(CLAIM, "").rpartition("/")
    return Issued(
        id=name.removeprefix(secret_name("")),
        uid=meta["uid"],
        version=meta["resourceVersion"],
        host=host,
        expires=_expiration(data.get("expiration", "")),
        claim=claim,
        claimed_by=claimed_by,
    )


def claim(token: Issued, *, request: str, uid: str) -> dict[str, Any]:
    """The merge patch by which one request takes the token; refused by the server if anything changed it since."""
    return {"metadata": {"resourceVersion": token.version, "annotations": {CLAIM: f"{request}/{uid}"}}}


def _expiration(encoded: str) -> datetime:
    """A token without a readable expiry counts as expired."""
    try:
        return datetime.strptime(base64.b64decode(encoded).decode(), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except (binascii.Error, ValueError):
        return datetime.fromtimestamp(0, UTC)


def _digest(host: str) -> str:
    return hashlib.sha256(host.encode()).hexdigest()[:40]


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
