"""Progress on stderr: one bar on a terminal, plain lines elsewhere. Results never go this way."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TextIO

from reconcilers.core.events import Event


class Progress:
    """Counts finished changes out of the planned ones; a listener of the engine."""

    def __init__(self, total: int, what: str, *, stream: TextIO | None = None, quiet: bool = False) -> None:
        self._stream = stream or sys.stderr
        self._total, self._what, self._done = total, what, 0
        self._quiet = quiet
        self._bar = None
        self._next_word = time.monotonic() + 5
        if not quiet and total and self._stream.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=total, desc=what, file=self._stream, unit="change", leave=False)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, event: Event) -> None:
        """Take one event of the engine."""
        if event.kind == "change_finished":
            self._done += 1
            if self._bar is not None:
                self._bar.update()
            elif time.monotonic() > self._next_word:
                self._next_word = time.monotonic() + 5
                self.say(f"{self._what}: {self._done} of {self._total} changes")
        elif event.kind == "health_wait":
            self.say(f"{event.scope}: waiting for {event.data['waiting']}: {event.data['for']}")
        elif event.kind == "retry":
            self.say(f"{event.scope}: trying again in {event.data['in_s']:.1f} s: {event.data['error']}")

    def say(self, line: str) -> None:
        """One line of progress."""
        if self._quiet:
            return
        if self._bar is not None:
            self._bar.write(line, file=self._stream)
        else:
            print(line, file=self._stream, flush=True)
