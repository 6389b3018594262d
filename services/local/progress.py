"""Progress of long starts and builds, for people: a bar on a terminal, plain lines elsewhere.

Results never pass through here; everything goes to one stream, usually stderr.
"""

from __future__ import annotations

import threading
from typing import NoReturn, Protocol, TextIO

from tqdm import tqdm


class Progress(Protocol):
    """Where a long operation says how far it is. Calls may come from several threads."""

    def begin(self, title: str, total: int) -> None:
        """A series of `total` steps starts; it ends when `total` steps were advanced."""

    def advance(self, text: str) -> None:
        """One step ended; `text` is its line."""

    def say(self, text: str) -> None:
        """A line that is no step: what is waited for."""


class Silent:
    """For callers that want the result alone."""

    def begin(self, title: str, total: int) -> None:
        """Nothing is shown."""

    def advance(self, text: str) -> None:
        """Nothing is shown."""

    def say(self, text: str) -> None:
        """Nothing is shown."""


class Lines:
    """One plain line per event."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._total = self._done = 0

    def begin(self, title: str, total: int) -> None:
        """Remember the total, so that each step can say how many are left."""
        with self._lock:
            self._total, self._done = total, 0
        self.say(title)

    def advance(self, text: str) -> None:
        """`[3/9] text`."""
        with self._lock:
            self._done += 1
            self._write(f"[{self._done}/{self._total}] {text}")

    def say(self, text: str) -> None:
        """The line alone."""
        with self._lock:
            self._write(text)

    def _write(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()


class Bar:
    """A bar that stays at the bottom of a terminal while lines scroll above it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._bar: tqdm[NoReturn] | None = None

    def begin(self, title: str, total: int) -> None:
        """Open a bar; a former one that never came to its end is closed."""
        with self._lock:
            if self._bar is not None:
                self._bar.close()
            bar: tqdm[NoReturn] = tqdm(
                total=total, desc=title, file=self._stream, unit="step", leave=False, dynamic_ncols=True
            )
            self._bar = bar

    def advance(self, text: str) -> None:
        """Print the line above the bar and move the bar; the last step takes the bar away."""
        with self._lock:
            tqdm.write(text, file=self._stream)
            if self._bar is None:
                return
            self._bar.update()
            if self._bar.total is not None and self._bar.n >= self._bar.total:
                self._bar.close()
                self._bar = None

    def say(self, text: str) -> None:
        """Print the line above the bar."""
        with self._lock:
            tqdm.write(text, file=self._stream)


def to(stream: TextIO) -> Progress:
    """A bar if the stream is a terminal, lines otherwise."""
    return Bar(stream) if stream.isatty() else Lines(stream)
