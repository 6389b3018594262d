"""HTTP as the client needs it: a connection with trust, one answer read whole within limits, errors by kind.

What is promised: plain http is refused (a secret is in most of these URLs, and documents hold commands) but on
loopback, or for a file whose hash is known; a POST is never redirected, and a GET of a document stays on its host; no
answer is read past its limit or its time. Proxies of the environment are not used.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from node.boot import backoff, document, tls
from node.boot.errors import BadDocument, BootError, Refused, Temporary

USER_AGENT = "mlab-epoxy-client/1"
IDLE_S = 30.0
"""A connection that brings nothing for so long is given up."""
REQUEST_S = 600.0
"""For one whole POST or document, as in the original."""
MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_REFUSALS = frozenset({403, 404, 410})


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


class Network(NamedTuple):
    """How this run reaches servers; a value, so that tests can be strict and quick."""

    offers: tuple[tls.Offer, ...]
    idle_s: float = IDLE_S
    request_s: float = REQUEST_S


def network(ca_file: Path | None) -> Network:
    return Network(tls.offers(ca_file))


def parts(url: str, *, hashed: bool = False) -> SplitResult:
    """The parts of a URL that may be asked. Raises `BadDocument`."""
    try:
        found = urlsplit(url)
        host, port = found.hostname, found.port
    except ValueError as error:
        raise BadDocument(f"{url}: not a URL: {error}") from None
    if found.scheme not in ("http", "https") or not host or port == 0:
        raise BadDocument(f"{url}: not an http or https URL")
    if not url.isascii() or any(char <= " " or char == "\x7f" for char in url):
        raise BadDocument(f"{url}: holds blanks, control characters or characters outside ASCII; encode them")
    if found.scheme == "http" and not hashed and not _loopback(host):
        raise BadDocument(f"{url}: http is not safe here; use https, or name the file's sha256")
    return found


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def connect(url: SplitResult, net: Network) -> http.client.HTTPConnection:
    """An open connection, its handshake done. Raises `Temporary`."""
    assert url.hostname is not None
    where = f"{url.scheme}://{url.netloc.rpartition('@')[2]}"
    if url.scheme == "http":
        return _opened(http.client.HTTPConnection(url.hostname, url.port, timeout=net.idle_s), where)
    for offer in net.offers[:-1]:
        secured = http.client.HTTPSConnection(url.hostname, url.port, timeout=net.idle_s, context=offer())
        try:
            return _opened(secured, where)
        except _OtherCipher:
            continue
    last = http.client.HTTPSConnection(url.hostname, url.port, timeout=net.idle_s, context=net.offers[-1]())
    return _opened(last, where)


class _OtherCipher(Temporary):
    """The server shares no cipher or version with what was offered."""


def _opened(connection: http.client.HTTPConnection, where: str) -> http.client.HTTPConnection:
    try:
        connection.connect()
    except ssl.SSLError as error:
        connection.close()
        if isinstance(error, ssl.SSLCertVerificationError):
            raise Temporary(f"{where}: its certificate is not trusted: {error.verify_message}") from None
        kind = _OtherCipher if tls.may_try_next(error) else Temporary
        raise kind(f"{where}: no TLS connection: {error.reason or error}") from None
    except (OSError, UnicodeError) as error:
        connection.close()
        raise Temporary(f"{where}: no connection: {error}") from None
    return connection


def target(url: SplitResult) -> str:
    return (url.path or "/") + (f"?{url.query}" if url.query else "")


def post(url: str, body: bytes, net: Network, *, content_type: str, limit: int = document.MAX_BYTES) -> Answer:
    """POST once. Gives answers of 2xx; raises `Refused`, `Temporary`, `BadDocument`."""
    headers = {"Content-Type": content_type}
    answer = _exchange("POST", parts(url), body, headers, net, limit)
    if answer.status in _REDIRECTS:
        raise BootError(f"{url}: status {answer.status}: a POST is not redirected")
    return _successful(url, answer)


def get(url: str, net: Network, *, limit: int = document.MAX_BYTES) -> Answer:
    """GET a document from where the URL says, or from elsewhere on the same host."""
    first = parts(url)
    current = url
    for _ in range(MAX_REDIRECTS + 1):
        answer = _exchange("GET", parts(current), None, {}, net, limit)
        if answer.status not in _REDIRECTS:
            return _successful(url, answer)
        current = redirected(current, answer.headers.get("location"))
        if origin(parts(current)) != origin(first):
            raise BadDocument(f"{url}: redirects to another server, {parts(current).netloc}, which is not followed")
    raise BadDocument(f"{url}: more than {MAX_REDIRECTS} redirects")


def redirected(url: str, location: str | None) -> str:
    """Where a redirect leads. From https it never leads to http."""
    if not location:
        raise BadDocument(f"{url}: a redirect without a location")
    found = urljoin(url, location)
    if url.startswith("https:") and not found.startswith("https:"):
        raise BadDocument(
            f"{url}: redirects from https to {urlsplit(found).scheme or 'nothing'}, which is not followed"
        )
    return found


def origin(url: SplitResult) -> tuple[str, str | None, int]:
    return url.scheme, url.hostname, url.port or (443 if url.scheme == "https" else 80)


def _exchange(
    method: str, url: SplitResult, body: bytes | None, headers: Mapping[str, str], net: Network, limit: int
) -> Answer:
    where = url.geturl()
    connection = connect(url, net)
    try:
        with time_limit(connection, net.request_s):
            given = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers}
            connection.request(method, target(url), body, given)
            response = connection.getresponse()
            found = _body(response, limit, where)
        return Answer(response.status, {key.lower(): value for key, value in response.getheaders()}, found)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise Temporary(f"{where}: {method} failed: {error or type(error).__name__}") from None
    finally:
        connection.close()


@contextmanager
def time_limit(connection: http.client.HTTPConnection, seconds: float) -> Iterator[None]:
    """End the connection after so long: a server that sends a byte now and then passes every time-out of a read."""

    def end() -> None:
        with suppress(OSError, AttributeError):
            connection.sock.shutdown(socket.SHUT_RDWR)

    watch = threading.Timer(seconds, end)
    watch.daemon = True
    watch.start()
    try:
        yield
    finally:
        watch.cancel()


def _body(response: http.client.HTTPResponse, limit: int, where: str) -> bytes:
    found = bytearray()
    while chunk := response.read1(65536):
        found += chunk
        if len(found) > limit:
            raise BadDocument(f"{where}: the answer has more than {limit} bytes")
    if response.length:
        raise Temporary(f"{where}: the answer ends {response.length} bytes too early")
    return bytes(found)


def _successful(url: str, answer: Answer) -> Answer:
    if 200 <= answer.status < 300:
        return answer
    raise failure(url, answer.status, answer.headers.get("retry-after"), answer.body)


def failure(url: str, status: int, retry_after: str | None, body: bytes) -> BootError:
    """The error of a status that is not success; the start of a text that explains it is shown."""
    said = body[:120].decode("utf-8", "replace").strip().partition("\n")[0]
    text = f"{url}: status {status}" + (f": {said}" if said else "")
    if status in _REFUSALS:
        return Refused(text)
    return Temporary(text, backoff.retry_after_s(retry_after))


def local_path(url: str) -> Path:
    """The path of a `file:///` URL."""
    found = urlsplit(url)
    if found.netloc not in ("", "localhost") or not found.path.startswith("/"):
        raise BadDocument(f"{url}: a file's URL is file:///PATH")
    return Path(unquote(found.path))
