"""Programs that run on a node, beside the figures that they must hold."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tests.index2ip import plugin

CALLS = 60


def _calls(words: Sequence[str], stdin: Path) -> list[tuple[float, float]]:
    """Wall-clock and processor milliseconds of cold calls."""
    environment = {"CNI_COMMAND": "ADD", "PROC_CMDLINE_FOR_TESTING": plugin.command_line()}
    found = []
    for _ in range(CALLS):
        with stdin.open("rb") as file:
            began = time.perf_counter()
            process = subprocess.Popen(words, stdin=file, stdout=subprocess.DEVNULL, env=environment)
            _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, words
        found.append((1e3 * (time.perf_counter() - began), 1e3 * (usage.ru_utime + usage.ru_stime)))
    return found


def _p95(values: Sequence[float]) -> float:
    return sorted(values)[int(len(values) * 0.95)]


def _index2ip(folder: Path) -> None:
    stdin = folder / "network.json"
    stdin.write_text(json.dumps(plugin.config()))
    for name, words, limit in (
        ("index2ip ADD, cold", [str(plugin.PROGRAM)], "< 20 ms"),
        ("the interpreter alone", ["/usr/bin/python3", "-IS", "-c", ""], ""),
    ):
        found = _calls(words, stdin)
        wall, processor = (_p95([pair[side] for pair in found]) for side in (0, 1))
        print(f"{name:<44} {wall:7.1f} ms p95, {processor:.1f} ms of processor   {limit}", flush=True)


def rows(folder: Path) -> None:
    """All of them."""
    _index2ip(folder)
