"""HTTP to servers of the platform, by the standard library alone: health checks and a small Kubernetes client.

The official clients belong to the reconcilers; here a start-up of tens of milliseconds and a few megabytes matter,
because one such process runs per environment.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_S = 10.0
JSON = "application/json"
_SOA, _IN, _HEAD_BYTES, _AUTHORITATIVE, _RCODE = 6, 1, 12, 0x0400, 0x000F


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Connection:
    """One kept-alive connection to one server; not for use by two threads at once."""

    def __init__(self, url: str, context: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url)
        host, port = parts.hostname or "127.0.0.1", parts.port
        if parts.scheme == "https":
            self._connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, port, timeout=TIMEOUT_S, context=context or ssl.create_default_context()
            )
        else:
            self._connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)

    def request(self, method: str, path: str, document: Any = None, *, kind: str = JSON, accept: str = JSON) -> Answer:
        """One request; a kept connection that the server closed in the meantime is opened once more.

        Only an attempt on a reused connection that got no answer at all is repeated. Raises `OSError` or
        `http.client.HTTPException` where the server is out of reach.
        """
        reused = self._connection.sock is not None
        try:
            return self._once(method, path, document, kind, accept)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            self._connection.close()
            if not reused:
                raise
            return self._once(method, path, document, kind, accept)
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()

    def _once(self, method: str, path: str, document: Any, kind: str, accept: str) -> Answer:
        body = None if document is None else json.dumps(document).encode()
        headers = {"Accept": accept} | ({} if body is None else {"Content-Type": kind})
        self._connection.request(method, path, body, headers)
        response = self._connection.getresponse()
        content = response.read()
        return Answer(response.status, content, {key.lower(): value for key, value in response.getheaders()})


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach an API server: its URL, its authority, and the client certificate to present."""

    url: str
    ca: Path
    certificate: Path
    key: Path

    def connect(self) -> Connection:
        """A new connection."""
        context = ssl.create_default_context(cafile=str(self.ca))
        context.load_cert_chain(self.certificate, self.key)
        return Connection(self.url, context)


@dataclass(frozen=True, slots=True)
class Check:
    """What makes a program healthy besides listening: a URL that answers 200, a file that it writes, zones it serves.

    `dns` is `ADDRESS:PORT` of a name server, `zones` are domains with spaces between them.
    """

    url: str = ""
    ca: str = ""
    file: str = ""
    dns: str = ""
    zones: str = ""

    def missing(self) -> str:
        """ "" if all is well, else what is not, in a few words."""
        if self.file and not Path(self.file).exists():
            return f"{self.file} is not written yet"
        for zone in self.zones.split():
            if not _answers_for(self.dns, zone):
                return f"{self.dns} does not answer for {zone}"
        return self._answer() if self.url else ""

    def _answer(self) -> str:
        context = ssl.create_default_context(cafile=self.ca) if self.ca else None
        connection = Connection(self.url, context)
        parts = urlsplit(self.url)
        try:
            answer = connection.request("GET", f"{parts.path or '/'}?{parts.query}")
        except (OSError, http.client.HTTPException) as error:
            return f"no answer from {self.url} ({str(error) or type(error).__name__})"
        finally:
            connection.close()
        return "" if answer.status == 200 else f"{self.url} answers {answer.status}"


def _answers_for(server: str, zone: str) -> bool:
    """Whether a name server answers a question for the zone's SOA record, with authority and without an error."""
    host, _, port = server.rpartition(":")
    name = b"".join(bytes([len(label)]) + label.encode() for label in zone.split(".")) + b"\0"
    query = struct.pack("!HHHHHH", 1, 0, 1, 0, 0, 0) + name + struct.pack("!HH", _SOA, _IN)
    try:
        with socket.create_connection((host, int(port)), timeout=TIMEOUT_S) as connection:
            connection.sendall(struct.pack("!H", len(query)) + query)
            with connection.makefile("rb") as stream:
                head = stream.read(2 + _HEAD_BYTES)[2:]
        _, flags, _, answers = struct.unpack("!HHHH", head[:8])
    except (OSError, struct.error):
        return False
    return bool(flags & _AUTHORITATIVE and not flags & _RCODE and answers)
