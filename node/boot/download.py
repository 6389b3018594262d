"""Fetches a file once over the network and once through the hash, and goes on where a connection broke.

The caller's thread reads from the connection into large buffers, a second one hashes and writes them: TLS and SHA-256
then use two processors. A broken download keeps its hash, so that nothing is read twice; it goes on with `Range` and
`If-Range`, and starts anew where the server's file is another one. What a run of the client fetched stays for its next
try. A file with a wrong hash is removed before anybody could use it.
"""

from __future__ import annotations

import hashlib
import http.client
import queue
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from node.boot import backoff, transfer
from node.boot.errors import BadDocument, BootError, Temporary
from node.boot.evaluate import Wanted

LIMIT_S = 7200.0
"""For one file, as in the original."""
BUFFER_BYTES = 1024 * 1024
_BUFFERS = 4
_READ_BYTES = 64 * 1024
"""A read that fails loses what it had, so that reads are smaller than buffers."""
_TRIES = 6
"""Requests in a row that may bring nothing before the download counts as failed."""
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class Download:
    """One file on its way to the disk: how far it is, and the hash up to there."""

    def __init__(self, wanted: Wanted, path: Path) -> None:
        self.wanted = wanted
        self.path = path
        self.finished = False
        self._start_over()

    def _start_over(self) -> None:
        self._digest = hashlib.sha256()
        self._done = 0
        self._tag = ""
        self._file_url = self.wanted.url
        self._redirects = 0

    def fetch(self, net: transfer.Network, say: Callable[[str], None], pause: Callable[[float], None]) -> None:
        """Bring the whole file. Raises `Refused`, `Temporary`, `BadDocument`; what came stays for the next call."""
        if self.finished:
            return
        start, before = time.monotonic(), self._done
        failures = 0
        while True:
            had = self._done
            try:
                if self._once(net, start):
                    break
            except Temporary as error:
                self._file_url, self._redirects = self.wanted.url, 0
                failures = 1 if self._done > had else failures + 1
                if failures >= _TRIES or time.monotonic() - start > LIMIT_S:
                    raise
                wait = backoff.wait_s(backoff.BETWEEN_REQUESTS, failures, error.retry_after_s)
                say(f"file {self.wanted.name}: {error}; going on at byte {self._done} in {wait:.1f} s")
                pause(wait)
        self._check()
        seconds = time.monotonic() - start
        speed = (self._done - before) / max(seconds, 1e-6) / 1e6
        how = "sha256 verified" if self.wanted.sha256 else "sha256 not given"
        say(f"file {self.wanted.name}: {self._done} bytes in {seconds:.1f} s, {speed:.1f} MB/s, {how}")

    def _check(self) -> None:
        got = self._digest.hexdigest()
        self.finished = got == self.wanted.sha256 or not self.wanted.sha256
        if not self.finished:
            self.path.unlink(missing_ok=True)
            size = self._done
            self._start_over()
            expected = self.wanted.sha256
            raise BootError(
                f"file {self.wanted.name}: {self.wanted.url}: checksum mismatch: sha256 of its {size} bytes is {got}, "
                f"the document says {expected}"
            )

    def _once(self, net: transfer.Network, start: float) -> bool:
        """One request, from where the last one ended; true where it brought the end of the file."""
        url = transfer.parts(self._file_url, hashed=bool(self.wanted.sha256))
        connection = transfer.connect(url, net)
        try:
            with transfer.time_limit(connection, max(1.0, LIMIT_S - (time.monotonic() - start))):
                headers = {"User-Agent": transfer.USER_AGENT, "Accept-Encoding": "identity"}
                if self._done:
                    headers["Range"] = f"bytes={self._done}-"
                    if self._tag:
                        headers["If-Range"] = self._tag
                connection.request("GET", transfer.target(url), headers=headers)
                return self._take(connection.getresponse())
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise Temporary(f"{self.wanted.url}: {error or type(error).__name__}") from None
        finally:
            connection.close()

    def _take(self, response: http.client.HTTPResponse) -> bool:
        status, url = response.status, self.wanted.url
        if status in (301, 302, 303, 307, 308):
            self._follow(response.getheader("Location"))
            return False
        if status == 206 and self._done:
            self._continue(response)
            return True
        if status == 200:
            self._begin(response)
            return True
        if status == 416 and self._done:
            self._start_over()
            raise Temporary(f"{url}: status 416: the file is shorter than what came before; starting over")
        raise transfer.failure(url, status, response.getheader("Retry-After"), response.read1(4096))

    def _follow(self, location: str | None) -> None:
        """A file may lie elsewhere: its hash says whether it is the right one. Without a hash it stays on its host."""
        found = transfer.redirected(self._file_url, location)
        there, here = (
            transfer.parts(found, hashed=bool(self.wanted.sha256)),
            transfer.parts(self.wanted.url, hashed=True),
        )
        if not self.wanted.sha256 and transfer.origin(there) != transfer.origin(here):
            raise BadDocument(f"{self.wanted.url}: redirects to {there.netloc}, which needs the file's sha256")
        self._redirects += 1
        if self._redirects > transfer.MAX_REDIRECTS:
            raise BadDocument(f"{self.wanted.url}: more than {transfer.MAX_REDIRECTS} redirects")
        self._file_url = found

    def _begin(self, response: http.client.HTTPResponse) -> None:
        where = self._file_url
        if response.length is None and not response.chunked and not self.wanted.sha256:
            # Its end could not be told from a broken connection.
            raise BootError(f"file {self.wanted.name}: {self.wanted.url}: an answer without a length needs the sha256")
        self._start_over()
        self._file_url = where
        tag = response.getheader("ETag") or ""
        # A weak tag does not promise the same bytes (RFC 9110, 13.1.5).
        self._tag = "" if tag.startswith("W/") else tag or response.getheader("Last-Modified") or ""
        with self.path.open("wb", buffering=0) as file:
            self._stream(response, file)

    def _continue(self, response: http.client.HTTPResponse) -> None:
        match = _RANGE.fullmatch(response.getheader("Content-Range") or "")
        if match is None or int(match[1]) != self._done:
            given = response.getheader("Content-Range")
            self._start_over()
            raise Temporary(f"{self.wanted.url}: status 206 with another range, {given!r}; starting over")
        with self.path.open("r+b", buffering=0) as file:
            file.seek(self._done)
            self._stream(response, file)

    def _stream(self, response: http.client.HTTPResponse, file: BinaryIO) -> None:
        """Read in this thread, hash and write in another one, to the end of the body."""
        free: queue.SimpleQueue[bytearray | None] = queue.SimpleQueue()
        full: queue.SimpleQueue[tuple[bytearray, int] | None] = queue.SimpleQueue()
        for _ in range(_BUFFERS):
            free.put(bytearray(BUFFER_BYTES))
        failed: list[OSError] = []

        def consume() -> None:
            while (item := full.get()) is not None:
                buffer, size = item
                view = memoryview(buffer)[:size]
                try:
                    written = 0
                    while written < size and not failed:
                        written += file.write(view[written:])
                except OSError as error:
                    failed.append(error)
                if not failed:
                    self._digest.update(view)
                    self._done += size
                view.release()
                free.put(buffer)

        consumer = threading.Thread(target=consume, daemon=True)
        consumer.start()
        try:
            while not failed:
                buffer = free.get()
                assert buffer is not None
                size, error = _filled(response, buffer)
                if size:
                    full.put((buffer, size))
                if error is not None:
                    raise error
                if not size:
                    break
        finally:
            full.put(None)
            consumer.join()
        if failed:
            raise BootError(f"file {self.wanted.name}: cannot be written to {self.path}: {failed[0].strerror}")
        if response.length:
            raise Temporary(f"{self.wanted.url}: the connection ended {response.length} bytes too early")


def _filled(response: http.client.HTTPResponse, buffer: bytearray) -> tuple[int, Exception | None]:
    """Fill as much of the buffer as comes; what came before an error is used."""
    view, size = memoryview(buffer), 0
    try:
        while size < len(buffer):
            got = response.readinto(view[size : size + _READ_BYTES])
            if not got:
                break
            size += got
    except (OSError, ValueError, http.client.HTTPException) as error:
        return size, error
    return size, None


class Shelf:
    """The files of one run of the client, in a folder of its own, by address and hash."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._downloads: dict[tuple[str, str], Download] = {}

    def download(self, wanted: Wanted) -> Download:
        key = (wanted.url, wanted.sha256)
        if key not in self._downloads:
            self._downloads[key] = Download(wanted, self.folder / f"file{len(self._downloads)}")
        return self._downloads[key]

    def path(self, wanted: Wanted) -> Path:
        return self.download(wanted).path

    def forget_unverified(self) -> None:
        """Files without a hash are fetched anew in the next try: the server's may be mended meanwhile."""
        for key in [key for key in self._downloads if not key[1]]:
            with suppress(OSError):
                self._downloads.pop(key).path.unlink(missing_ok=True)
