"""What experiments do to a spool, in every manner that the contract allows, with a list of what they wrote.

Numbered files, each of its own content: written at once or in steps, renamed into place, kept open for a while, in
directories that appear with them; files of connections, made by tcp-info's own writer; and JSON, some of which is none.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import random
import threading
import time
from pathlib import Path

from node.pusher import sampling
from node.tcpinfo import files as connections

RATIO = 0.5
"""Of datatype `sampled`."""
_LINES = 40


class Writer:
    """Writes until it is stopped. `written` grows by a file only when the file is complete."""

    def __init__(self, spool: Path, seed: int, pause_s: float = 0.005) -> None:
        self._spool = spool
        self._random = random.Random(seed)
        self._pause_s = pause_s
        self._stop = threading.Event()
        self._kept: list[tuple[int, str, bytes]] = []
        self._numbers = itertools.count()
        self._connections = connections.Folder(spool / "tcpinfo", lambda: None)
        self.written: dict[str, tuple[int, str]] = {}
        self.bad: dict[str, bytes] = {}
        """What is to be moved aside."""
        self.refused = 0
        """Files that the disk had no room for."""
        self.failed: Exception | None = None
        for datatype in ("ndt7", "tcpinfo", "sampled", "annotation2"):
            (spool / datatype).mkdir(parents=True, exist_ok=True)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Every file is complete when this returns."""
        self._stop.set()
        self._thread.join()
        for kept in self._kept:
            self._close(*kept)
        if self.failed is not None:
            raise self.failed

    def expect(self, path: Path) -> Path:
        """The list for the audit."""
        with path.open("w") as file:
            for name, (size, digest) in self.written.items():
                file.write(json.dumps({"name": name, "size": size, "sha256": digest}) + "\n")
        return path

    def _run(self) -> None:
        manners = (
            *(self._whole, self._whole, self._in_steps, self._renamed, self._kept_open, self._connection),
            self._json,
        )
        while not self._stop.is_set():
            try:
                self._random.choice(manners)()
            except OSError as error:
                if error.errno != 28:
                    self.failed = error
                    return
                self.refused += 1
            except Exception as error:
                self.failed = error
                return
            time.sleep(self._pause_s)

    def _next(self) -> tuple[str, bytes]:
        """A name, and a content that no other file has."""
        number = next(self._numbers)
        datatype = "sampled" if number % 10 == 0 else "ndt7"
        odd = "\udcff\n " if number % 100 == 7 else ""
        # A new directory every few files.
        name = f"{datatype}/2026/{number // 700 % 12 + 1:02d}/{number // 25 % 28 + 1:02d}/{odd}{number}.json"
        size = self._random.choice((0, 20, 1300, 1300, 1300, 20_000))
        return name, b"%d " % number + self._random.randbytes(size) if size else b""

    def _done(self, name: str, content: bytes) -> None:
        datatype, _, below = name.partition("/")
        if datatype != "sampled" or sampling.chosen(below, RATIO):
            self.written[name] = (len(content), hashlib.sha256(content).hexdigest())

    def _path(self, name: str) -> Path:
        path = self._spool / name
        # Between making the directories and the file, a program may remove those that are empty and old; not new ones.
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _write(self, path: Path, content: bytes) -> None:
        """All, or nothing: a file that did not fit is removed while it is still open, as careful programs do."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            _all(descriptor, content)
        except OSError:
            path.unlink()
            raise
        finally:
            os.close(descriptor)

    def _whole(self) -> None:
        name, content = self._next()
        self._write(self._path(name), content)
        self._done(name, content)

    def _in_steps(self) -> None:
        name, content = self._next()
        path = self._path(name)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            _all(descriptor, content[: len(content) // 2])
            time.sleep(self._pause_s)
            _all(descriptor, content[len(content) // 2 :])
        except OSError:
            path.unlink()
            raise
        finally:
            os.close(descriptor)
        self._done(name, content)

    def _json(self) -> None:
        number = next(self._numbers)
        name = f"annotation2/2026/{number // 700 % 12 + 1:02d}/{number // 100 % 28 + 1:02d}/{number}.json"
        content = b'{"number":  %d, "text": "%s"}' % (number, self._random.randbytes(300).hex().encode())
        if number % 20 == 0:
            self._write(self._path(name), content[:-1])
            self.bad[name] = content[:-1]
            return
        content += b"\n" * (number % 2)
        self._write(self._path(name), content)
        self._done(name, content)

    def _renamed(self) -> None:
        name, content = self._next()
        # Beside the datatypes, on the same file system, where pusher does not look.
        partial = self._spool / ".writing"
        partial.unlink(missing_ok=True)
        self._write(partial, content)
        partial.rename(self._path(name))
        self._done(name, content)

    def _kept_open(self) -> None:
        name, content = self._next()
        path = self._path(name)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            _all(descriptor, content)
        except OSError:
            path.unlink()
            os.close(descriptor)
            raise
        self._kept.append((descriptor, name, content))
        if len(self._kept) > 5:
            self._close(*self._kept.pop(0))

    def _close(self, descriptor: int, name: str, content: bytes) -> None:
        os.close(descriptor)
        self._done(name, content)

    def _connection(self) -> None:
        number = next(self._numbers)
        uuid = f"ndt-abc12_1795366319_{number:016X}"
        now_ns = time.time_ns()
        segment = connections.Segment(self._connections, uuid, now_ns)
        lines = [b'{"snapshot":%d,"of":"%s"}\n' % (line, os.fsencode(uuid)) for line in range(_LINES)]
        for line in lines:
            segment.add(now_ns, line)
        head = b'{"Metadata":"%s"}\n' % os.fsencode(uuid)
        segment.finish(now_ns, 0, lambda _: head)
        # One frame of the same lines by the same compressor: the same bytes.
        content = self._connections.whole.compress(head + b"".join(lines))
        day = time.strftime("%Y/%m/%d", time.gmtime(now_ns // 1_000_000_000))
        self._done(f"tcpinfo/{day}/{uuid}.00000.jsonl.zst", content)


def _all(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]
