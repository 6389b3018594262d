"""A proxy in front of a real API server: plain HTTP to the client, the administrator's TLS behind."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from tests.faultproxy import FaultProxy


@contextmanager
def in_front(kubeconfig: Path, proxied: Path) -> Iterator[FaultProxy]:
    """The proxy; `proxied` is written: the kubeconfig of a client that reaches the server through it."""
    config = yaml.safe_load(kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    context = ssl.create_default_context(cadata=_decoded(cluster["certificate-authority-data"]))
    keys = proxied.with_suffix(".pem")
    keys.touch(mode=0o600)
    keys.write_text(_decoded(user["client-certificate-data"]) + _decoded(user["client-key-data"]))
    context.load_cert_chain(keys)
    with FaultProxy(cluster["server"], context) as proxy:
        cluster.clear()
        cluster["server"] = proxy.url
        user.clear()
        proxied.write_text(yaml.safe_dump(config))
        yield proxy


def _decoded(data: str) -> str:
    return base64.b64decode(data).decode()
