"""What a machine that wants to be a node does: it asks an API server for a certificate, with a token or without."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from services.local import certificates
from tests import waiting

REQUESTS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
SIGNER = "kubernetes.io/kube-apiserver-client-kubelet"
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True, slots=True)
class Api:
    """An API server as one client sees it: `identity` are the files of a certificate, or headers hold a token."""

    url: str
    ca: str
    identity: tuple[str, str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def call(self, method: str, path: str, document: Any = None, **headers: str) -> requests.Response:
        given = {**self.headers, **{key.replace("_", "-"): value for key, value in headers.items()}}
        return requests.request(
            method, self.url + path, json=document, headers=given, cert=self.identity, verify=self.ca, timeout=30
        )

    def as_client(self, folder: Path, certificate: bytes, key: bytes) -> Api:
        """The same server for another identity."""
        files = folder / "client.crt", folder / "client.key"
        for path, content in zip(files, (certificate, key), strict=True):
            certificates.write_private(path, content)
        return Api(self.url, self.ca, (str(files[0]), str(files[1])))

    def as_bearer(self, token: str) -> Api:
        """The same server for whoever presents this token."""
        return Api(self.url, self.ca, headers={"Authorization": f"Bearer {token}"})


@dataclass(frozen=True, slots=True)
class Wish:
    """A request for a certificate; as it stands, what a kubelet sends."""

    node: str
    organisations: Sequence[str] = ("system:nodes",)
    common_name: str = ""
    usages: Sequence[str] = ("digital signature", "client auth")
    signer: str = SIGNER
    names: Sequence[str] = ()
    key: Key = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    spoilt: bool = False
    """The signature is not that of the key."""

    def document(self) -> dict[str, Any]:
        parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in self.organisations]
        common = self.common_name or f"system:node:{self.node}"
        subject = x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, common)])
        builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
        if self.names:
            alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in self.names])
            builder = builder.add_extension(alternatives, critical=False)
        made = builder.sign(self.key, hashes.SHA256())
        der = bytearray(made.public_bytes(serialization.Encoding.DER))
        if self.spoilt:
            der[-1] ^= 1
        text = base64.encodebytes(bytes(der)).decode()
        pem = f"-----BEGIN CERTIFICATE REQUEST-----\n{text}-----END CERTIFICATE REQUEST-----\n"
        return {
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "metadata": {"generateName": "node-"},
            "spec": {
                "request": base64.b64encode(pem.encode()).decode(),
                "signerName": self.signer,
                "usages": list(self.usages),
            },
        }

    def file(self, asking: Api) -> str:
        """Send it; the name that it got."""
        answer = asking.call("POST", REQUESTS, self.document())
        assert answer.status_code == 201, answer.text
        return str(answer.json()["metadata"]["name"])

    def private(self) -> bytes:
        """The key as a file's content."""
        form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        return self.key.private_bytes(*form)


def certificate(api: Api, name: str, limit_s: float = 60.0) -> bytes:
    """Wait until a request is signed; the certificate."""

    def issued() -> str:
        return str(api.call("GET", f"{REQUESTS}/{name}").json()["status"].get("certificate", ""))

    return base64.b64decode(waiting.until(issued, "the request is signed", limit_s=limit_s))


def decision(api: Api, name: str) -> tuple[str, str]:
    """Wait until a request is decided: which way, and the reason."""

    def conditions() -> list[dict[str, str]]:
        found: list[dict[str, str]] = api.call("GET", f"{REQUESTS}/{name}").json()["status"].get("conditions", [])
        return found

    (condition,) = waiting.until(conditions, "the request is decided")
    return condition["type"], condition["reason"]
