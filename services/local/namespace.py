"""Run the platform inside a network namespace: what this thread starts from then on lives in it.

A namespace belongs to a thread and is inherited by the threads and processes that it starts. Entering needs root.
"""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.local.errors import PlatformError

NAMED = Path("/run/netns")
CLONE_NEWNET = 0x40000000


@contextmanager
def entered(name: str | None) -> Iterator[None]:
    """Be in the namespace that `ip netns add NAME` made; None stays where we are."""
    if name is None:
        yield
        return
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        _enter(name)
        try:
            _need_loopback(name)
            yield
        finally:
            _setns(before)
    finally:
        os.close(before)


def _enter(name: str) -> None:
    try:
        descriptor = os.open(NAMED / name, os.O_RDONLY)
    except OSError as error:
        raise PlatformError(f"network namespace {name}: {error.strerror}; make it with `ip netns add {name}`") from None
    try:
        _setns(descriptor)
    except PermissionError:
        raise PlatformError(f"network namespace {name}: only root may enter it") from None
    finally:
        os.close(descriptor)


def _need_loopback(name: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(("127.0.0.1", 0))
            probe.listen()
            with socket.create_connection(probe.getsockname(), timeout=5):
                return
        except OSError:
            raise PlatformError(f"network namespace {name} has no loopback: `ip -n {name} link set lo up`") from None


def _setns(descriptor: int) -> None:
    # os.setns is there from Python 3.12 on; this works with all.
    library = ctypes.CDLL(None, use_errno=True)
    if library.setns(descriptor, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
