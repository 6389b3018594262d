from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from reconcilers.core.errors import Permanent, Refused
from reconcilers.core.provider import Holder
from reconcilers.providers.monitoring import lock as locks

SCOPE = "sandbox/monitoring"


def holder(name: str) -> Holder:
    return Holder(name, "tester", "ci/run/7", "2026-01-01T00:00:00Z")


class Clock:
    """A time that the test moves."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def take(directory: Path, name: str, clock: Clock, ttl_s: float = 60) -> locks.FileLock:
    return locks.FileLock(directory, SCOPE, holder(name), ttl_s, clock)


def test_a_lock_that_lives_refuses_another_holder_and_names_its_own(tmp_path: Path) -> None:
    clock = Clock()
    take(tmp_path, "a", clock)
    clock.now += 59.9
    with pytest.raises(Refused) as refused:
        take(tmp_path, "b", clock)
    for word in ("holder a", "tester", "ci/run/7", "2026-01-01T00:00:00Z", f"mlab unlock {SCOPE} --holder a"):
        assert word in str(refused.value)


def test_an_expired_lock_is_taken_over(tmp_path: Path) -> None:
    clock = Clock()
    old = take(tmp_path, "a", clock)
    clock.now += 60
    new = take(tmp_path, "b", clock)
    with pytest.raises(Refused):
        old.renew()
    old.release()
    new.renew()
    new.release()
    assert not (tmp_path / locks.LOCK).exists()


def test_renewing_extends_the_expiry(tmp_path: Path) -> None:
    clock = Clock()
    lock = take(tmp_path, "a", clock)
    for _ in range(5):
        clock.now += 50
        lock.renew()
    with pytest.raises(Refused):
        take(tmp_path, "b", clock)


def test_a_lock_that_was_removed_is_not_renewed(tmp_path: Path) -> None:
    clock = Clock()
    lock = take(tmp_path, "a", clock)
    locks.remove(tmp_path, SCOPE, "a")
    with pytest.raises(Refused, match="removed while it was held"):
        lock.renew()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"identity": "x"}', "null"])
def test_a_lock_file_that_nobody_could_have_written_does_not_block_for_ever(content: str, tmp_path: Path) -> None:
    (tmp_path / locks.LOCK).write_text(content)
    take(tmp_path, "a", Clock()).release()


def test_of_many_takers_of_an_expired_lock_one_wins(tmp_path: Path) -> None:
    for round_number in range(20):
        clock = Clock()
        take(tmp_path, "dead", clock, ttl_s=1)
        clock.now += 5
        start = threading.Barrier(8)
        won: list[str] = []

        def contend(name: str, start: threading.Barrier, clock: Clock, won: list[str]) -> None:
            start.wait()
            try:
                take(tmp_path, name, clock)
            except Refused:
                return
            won.append(name)

        threads = [threading.Thread(target=contend, args=(f"t{n}", start, clock, won)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1, round_number
        assert json.loads((tmp_path / locks.LOCK).read_text())["identity"] == won[0]
        locks.remove(tmp_path, SCOPE, won[0])


def test_a_taker_that_is_killed_inside_the_guard_leaves_it_open(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from reconcilers.providers import whole_files\n"
        "from reconcilers.providers.monitoring import lock as locks\n"
        "from reconcilers.core.provider import Holder\n"
        "whole_files.replace = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)\n"
        "locks.FileLock(Path(sys.argv[1]), 's', Holder('dead', '', '', ''), 60)\n"
    )
    root = Path(locks.__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], env=environment, timeout=60, check=False)
    assert done.returncode == -9
    take(tmp_path, "next", Clock()).release()


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match=r"absent: no such directory; create it"):
        take(tmp_path / "absent", "a", Clock())
