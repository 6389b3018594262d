"""Writes of boots, gathered: what arrives while one transaction is being made durable goes together into the next.

A boot storm is hundreds of machines that each wait for one small durable write. One thread takes all that wait, makes
one transaction of them and answers all, so that the disk is waited for once a batch and not once a machine.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from dataclasses import dataclass

from services.epoxy import sessions, store

BATCH = 256


@dataclass(frozen=True, slots=True)
class _Item:
    wanted: store.Wanted
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[sessions.State]


class Writer:
    """The one thread that writes boots; `close` finishes what was asked for."""

    def __init__(self, hosts: store.Store) -> None:
        self._hosts = hosts
        self._queue: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="epoxy-writer", daemon=True)
        self._thread.start()

    async def change(self, name: str, change: store.Change) -> sessions.State:
        """Raises what the function raises, `store.Absent`, or `store.StoreError`. Durable when it returns."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[sessions.State] = loop.create_future()
        self._queue.put(_Item((name, change), loop, answer))
        return await answer

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            batch, last = [first], False
            while len(batch) < BATCH:
                try:
                    item = self._queue.get_nowait()
                except queue.Empty:
                    break
                if item is None:
                    last = True
                    break
                batch.append(item)
            self._write(batch)
            if last:
                return

    def _write(self, batch: list[_Item]) -> None:
        results: list[sessions.State | Exception]
        try:
            results = list(self._hosts.change([item.wanted for item in batch]))
        except Exception as error:
            results = [error] * len(batch)
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[_Item, sessions.State | Exception]]] = {}
        for item, result in zip(batch, results, strict=True):
            by_loop.setdefault(item.loop, []).append((item, result))
        for loop, answers in by_loop.items():
            if not loop.is_closed():
                loop.call_soon_threadsafe(_resolve, answers)


def _resolve(answers: list[tuple[_Item, sessions.State | Exception]]) -> None:
    for item, result in answers:
        if item.answer.done():
            continue  # the caller went away
        if isinstance(result, Exception):
            item.answer.set_exception(result)
        else:
            item.answer.set_result(result)
