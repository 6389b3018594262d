"""The extension server as a program: what its arguments mean, TLS, a graceful end."""

from __future__ import annotations

import argparse
import hashlib
import logging
import re
import signal
import ssl
from pathlib import Path

import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from services.epoxy import serving
from services.epoxy.tokens import callers, server
from services.epoxy.tokens.api import Api
from services.epoxy.tokens.metrics import ServerMetrics

GRACE_S = 15
_LOG = logging.getLogger("epoxy.tokens")


def run(options: argparse.Namespace, api: Api) -> int:
    """Serve until a signal asks to stop. Raises ValueError or OSError where it cannot start."""
    if not re.fullmatch(r"[A-Za-z0-9.:\[\]-]+:\d{1,5}", options.api_address):
        raise ValueError(f"--api-address {options.api_address!r}: give HOST:PORT")
    if (options.tls_certificate is None) != (options.tls_key is None):
        raise ValueError("--tls-certificate and --tls-key belong together; give both or none")
    if options.client_ca is not None and options.tls_certificate is None:
        raise ValueError("--client-ca needs --tls-certificate and --tls-key")
    cluster = server.Cluster(options.api_address, ca_hash(options.ca))
    allowed = callers.configured(options.peers, options.caller_token_file)
    listener = serving.bind(options.listen, "--listen")
    try:
        config = uvicorn.Config(
            server.build(api, cluster, allowed, ServerMetrics()),
            http="h11",
            loop="asyncio",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_S,
            ssl_certfile=options.tls_certificate,
            ssl_keyfile=options.tls_key,
            ssl_ca_certs=None if options.client_ca is None else str(options.client_ca),
            ssl_cert_reqs=ssl.CERT_NONE if options.client_ca is None else ssl.CERT_REQUIRED,
        )
        # uvicorn raises the signal again once it has stopped; without a handler of ours that would be a death by
        # signal instead of a clean exit.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        _LOG.info("listening", extra={"fields": {"address": serving.address(listener)}})
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        listener.close()
    return 0


def ca_hash(ca: Path) -> str:
    """The pin that `kubeadm join` compares: SHA-256 of the first authority's public key, as DER."""
    key = x509.load_pem_x509_certificate(ca.read_bytes()).public_key()
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return f"sha256:{hashlib.sha256(der).hexdigest()}"
