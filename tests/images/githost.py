"""A git host of a test: one repository over https, to whoever has its password, as the big ones serve it.

Protocol: git's smart HTTP (gitprotocol-http), fetching alone, version 0.
"""

from __future__ import annotations

import base64
import gzip
import hmac
import http.server
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import serving
from tests.boot import authorities

NAME = "git.measurement-lab.test"
ACCOUNT = ("loop", "known-to-this-test-only")
URL = f"https://{NAME}/fleet.git"
_WANTED = "Basic " + base64.b64encode(":".join(ACCOUNT).encode()).decode()


@contextmanager
def served(repository: Path, folder: Path) -> Iterator[bytes]:
    """The repository at `URL`, on loopback's port 443; the authority that vouches for it, in PEM."""
    issuer = authorities.authority("git host of the test")
    certificate, key = folder / "git.crt", folder / "git.key"
    authorities.serving(issuer, NAME, certificate, key)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/fleet.git/info/refs?service=git-upload-pack":
                begin = b"001e# service=git-upload-pack\n0000"
                self._answer("advertisement", begin + _upload_pack(repository, b"", "--advertise-refs"))
            else:
                self.send_error(404)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            self._answer("result", _upload_pack(repository, body))

        def _answer(self, what: str, body: bytes) -> None:
            permitted = hmac.compare_digest(self.headers.get("Authorization", ""), _WANTED)
            self.send_response(200 if permitted else 401)
            self.send_header("WWW-Authenticate", 'Basic realm="fleet"')
            self.send_header("Content-Type", f"application/x-git-upload-pack-{what}")
            self.send_header("Content-Length", str(len(body) if permitted else 0))
            self.end_headers()
            self.wfile.write(body if permitted else b"")

        def log_message(self, format: str, *words: object) -> None:
            """Nobody reads it."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 443), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with serving.served(server):
        yield issuer.pem


def _upload_pack(repository: Path, asked: bytes, *words: str) -> bytes:
    command = ["git", "upload-pack", "--stateless-rpc", *words, str(repository)]
    return subprocess.run(command, input=asked, capture_output=True, check=True).stdout
