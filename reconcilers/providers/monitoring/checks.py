"""promtool and amtool over a whole staged tree, before a file of it is written to where a server reads it."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from reconcilers.core.errors import Permanent, Temporary, one_line

TIMEOUT_S = 120.0
PROMETHEUS = "prometheus/prometheus.yml"
ALERTMANAGER = "alertmanager/alertmanager.yml"

_FAILED = re.compile(r"(?:^|\s)FAILED:\s*(.*)$")
_NOISE = re.compile(r"^(?:Checking .*|.*SUCCESS.*|Found:.*|level=.*|\s*- .*|amtool: error: .*|\s*)$")


@dataclass(frozen=True, slots=True)
class Checks:
    """The two programs: a path, or a name to be found in PATH."""

    promtool: str
    amtool: str

    def check(self, stage: Path) -> None:
        """Raises `Permanent` with the first error that a program finds; a tree without a server's file is fine."""
        if (stage / PROMETHEUS).exists():
            _run([_program(self.promtool, "promtool"), "check", "config", PROMETHEUS], stage)
        if (stage / ALERTMANAGER).exists():
            _run([_program(self.amtool, "amtool"), "check-config", ALERTMANAGER], stage)

    def check_rules(self, stage: Path, names: list[str]) -> None:
        """Check rule files by themselves: one that prometheus.yml does not list yet must be good as well."""
        if names:
            _run([_program(self.promtool, "promtool"), "check", "rules", *names], stage)


def _program(configured: str, name: str) -> str:
    found = shutil.which(configured)
    if found is None:
        raise Permanent(
            f"{configured}: no such program: nothing is written to the servers without {name}; "
            f"install it or correct targets.monitoring.{name}"
        )
    return str(Path(found).absolute())


def _run(command: list[str], stage: Path) -> None:
    try:
        done = subprocess.run(
            command, cwd=stage, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise Temporary(f"{Path(command[0]).name} {command[1]}: no end within {TIMEOUT_S:.0f} s") from None
    except OSError as error:
        raise Permanent(f"{command[0]}: cannot be started: {error.strerror}") from None
    if done.returncode != 0:
        raise Permanent(f"{Path(command[0]).name}: {first_error(done.stderr, done.stdout)}")


def first_error(*outputs: str) -> str:
    """The first line that says what is wrong: after `FAILED:`, or below it; one that ends in a colon needs the next."""
    lines = [line for output in outputs for line in output.splitlines()]
    for number, line in enumerate(lines):
        failed = _FAILED.search(line)
        if failed is not None:
            return _sentence([failed[1], *lines[number + 1 :]])
    said = [line for line in lines if not _NOISE.match(line)]
    return _sentence(said or [line for line in lines if line.startswith("amtool: error:")])


def _sentence(lines: list[str]) -> str:
    filled = [line.strip() for line in lines if line.strip()]
    if not filled:
        return "it failed and did not say why"
    return one_line(" ".join(filled[:2]) if filled[0].endswith(":") else filled[0])
