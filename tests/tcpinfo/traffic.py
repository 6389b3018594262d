"""Runs in a namespace: connections between two addresses of it, and what each end counted, by cookie.

    python traffic.py IDLE RATE SECONDS

First IDLE connections that carry something now and then and stay; then RATE new ones a second for SECONDS, each with a
random number of bytes either way, closed at once by one end, the other, or by reset. After a line on stdin all are
closed; where SECONDS is `on`, new ones are made until that line is there, and one more. Prints `idle` when the first
are there, `made` when the others were, and at the end one JSON object: cookie → [bytes sent, bytes received, how it
ended: in order, aborts (resets the other), reset (by the other), when its last bytes were there, when it was closed],
times by the monotonic clock, which all processes share.
"""

from __future__ import annotations

import json
import random
import resource
import select
import socket
import struct
import sys
import time

CLIENT, SERVER = "198.51.100.1", "203.0.113.9"
CLIENT6, SERVER6 = "2001:db8::1", "2001:db8:1::9"
LINGER_0 = struct.pack("ii", 1, 0)


def cookie(of: socket.socket) -> int:
    return int.from_bytes(of.getsockopt(socket.SOL_SOCKET, 57, 8), sys.byteorder)


class Traffic:
    """Servers of both families, and what was counted."""

    def __init__(self) -> None:
        self.servers = {
            socket.AF_INET: socket.create_server((SERVER, 0), backlog=4096),
            socket.AF_INET6: socket.create_server((SERVER6, 0), family=socket.AF_INET6, backlog=4096),
        }
        self.counted: dict[int, list[int]] = {}
        self.ends: dict[int, str] = {}
        self.exchanged_s: dict[int, float] = {}
        self.closed_s: dict[int, float] = {}
        self.kept: list[tuple[socket.socket, socket.socket]] = []
        self.random = random.Random(7)

    def pair(self) -> tuple[socket.socket, socket.socket]:
        family = self.random.choice((socket.AF_INET, socket.AF_INET6))
        client = socket.socket(family, socket.SOCK_STREAM)
        client.bind((CLIENT if family == socket.AF_INET else CLIENT6, 0))
        client.connect(self.servers[family].getsockname())
        taken, _ = self.servers[family].accept()
        for end in (client, taken):
            self.counted[cookie(end)] = [0, 0]
            self.ends[cookie(end)] = "in order"
            self.exchanged_s[cookie(end)] = time.monotonic()
        return client, taken

    def exchange(self, pair: tuple[socket.socket, socket.socket], most: int) -> None:
        """Random bytes both ways, all of them read."""
        for sender, receiver in (pair, pair[::-1]):
            size = self.random.randrange(most)
            sender.sendall(bytes(size))
            got = 0
            while got < size:
                got += len(receiver.recv(1 << 16))
            self.counted[cookie(sender)][0] += size
            self.counted[cookie(receiver)][1] += got
        for end in pair:
            self.exchanged_s[cookie(end)] = time.monotonic()

    def close(self, pair: tuple[socket.socket, socket.socket]) -> None:
        way = self.random.randrange(3)
        first, second = pair if way else pair[::-1]
        if way == 2:
            first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_0)
            self.ends[cookie(first)], self.ends[cookie(second)] = "aborts", "reset"
        cookies = [cookie(end) for end in pair]
        first.close()
        second.close()
        self.closed_s.update(dict.fromkeys(cookies, time.monotonic()))

    def told(self) -> dict[int, list[object]]:
        """All that was counted."""
        return {
            of: [*counts, self.ends[of], self.exchanged_s[of], self.closed_s[of]] for of, counts in self.counted.items()
        }


def told_to_end() -> bool:
    return bool(select.select([sys.stdin], [], [], 0)[0])


def main(idle: int, rate: int, seconds: float | None) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    traffic = Traffic()
    for _ in range(idle // 2):
        traffic.kept.append(traffic.pair())
    for pair in traffic.kept[:100]:
        traffic.exchange(pair, 1000)
    print("idle", flush=True)
    began, made, more = time.monotonic(), 0, True
    while more:
        more = not told_to_end() if seconds is None else made + 1 < rate * seconds / 2
        wait = began + 2 * made / rate - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        pair = traffic.pair()
        traffic.exchange(pair, 30_000)
        traffic.close(pair)
        made += 1
        if traffic.kept and made % 10 == 0:
            traffic.exchange(traffic.random.choice(traffic.kept), 1000)
    print("made", flush=True)
    sys.stdin.readline()
    for pair in traffic.kept:
        traffic.close(pair)
    print(json.dumps(traffic.told()), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), None if sys.argv[3] == "on" else float(sys.argv[3]))
