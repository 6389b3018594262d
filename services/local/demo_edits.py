"""The edits that the demo makes in its clone, as a person with an editor would make them: one line at a time."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

_PARTS = ("config", "jsonnet")


def clone(checkout: Path, into: Path) -> None:
    """A git repository with the checkout's configuration as it stands; its own history, if git has one."""
    if (checkout / ".git").exists():
        subprocess.run(["git", "clone", "--quiet", "--local", "--no-hardlinks", str(checkout), str(into)], check=True)
    else:
        into.mkdir(parents=True)
        subprocess.run(["git", "-C", str(into), "init", "--quiet", "--initial-branch=main"], check=True)
    for part in _PARTS:  # what is not committed yet is shown too
        shutil.rmtree(into / part, ignore_errors=True)
        shutil.copytree(checkout / part, into / part)
    git = ["git", "-C", str(into), "-c", "user.name=demo", "-c", "user.email=demo@measurement-lab.test"]
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "The fleet as it stands"], check=True)


def full_sites(fleet: Path, number: int) -> list[str]:
    """The last active physical sites with four machines in their usual projects, by name."""
    found = []
    for path in sorted((fleet / "config" / "sites").glob("*.yaml"), reverse=True):
        text = path.read_text()
        usual = "project:" not in text and re.search(r"^switch:\s*null", text, re.M) is None
        full = re.search(r"^type: physical", text, re.M) and re.search(r"state: active", text) and usual
        if full and not path.stem.endswith("t"):
            found.append(path.stem)
        if len(found) == number:
            return sorted(found)
    raise ValueError(f"fewer than {number} full sites in {fleet}")


def set_state(fleet: Path, site: str, state: str) -> None:
    """Edit `lifecycle.state`, and the date of retirement with it."""
    path = fleet / "config" / "sites" / f"{site}.yaml"
    text = re.sub(r"(state: )(active|lame-duck)", rf"\g<1>{state}", path.read_text(), count=1)
    if state == "retired":
        today = datetime.now(UTC).date().isoformat()
        text = re.sub(r"(retired: )null", rf'\g<1>"{today}"', text, count=1)
    path.write_text(text)


def remove_site(fleet: Path, site: str) -> None:
    """Delete the site's file."""
    (fleet / "config" / "sites" / f"{site}.yaml").unlink()


def write_ack(fleet: Path, sites: Sequence[str], expires: str) -> None:
    """An acknowledgement for exactly these sites' host records."""
    lines = [
        "# yaml-language-server: $schema=../../schemas/ack.schema.json",
        "kind: Ack",
        "name: demo-removal",
        f"reason: {', '.join(sites)} were decommissioned together",
        f'expires: "{expires}"',
        "allow:",
    ]
    for site in sites:
        lines.append(f'  - {{action: delete, match: "*/epoxy/Host/*-{site}.*", max: 4}}')
    (fleet / "config" / "acks" / "demo-removal.yaml").write_text("\n".join(lines) + "\n")


def break_expression(fleet: Path) -> Callable[[], None]:
    """Give one alert an expression that does not parse, which validation finds; the value mends it."""
    return _broken(fleet, r"(^\s+expr: absent\(up\{[^}]*\})\)$", r"\1")


def break_template(fleet: Path) -> Callable[[], None]:
    """Give one alert a summary with a function that Prometheus lacks, which only promtool knows; the value mends it."""
    return _broken(fleet, r"(^\s+summary: )(No pod of workload .*)$", r"\1'{{ $labels.deployment | shorten }}: \2'")


def _broken(fleet: Path, pattern: str, replacement: str) -> Callable[[], None]:
    for path in sorted((fleet / "config" / "alerts").glob("*.yaml")):
        text = path.read_text()
        broken = re.sub(pattern, replacement, text, count=1, flags=re.M)
        if broken != text:
            path.write_text(broken)
            return lambda: (path.write_text(text), None)[1]
    raise ValueError(f"no alert in {fleet}/config/alerts has a line like {pattern}")


def count_of_sites(fleet: Path) -> str:
    """JSON with the numbers of sites for the summary."""
    texts = [path.read_text() for path in (fleet / "config" / "sites").glob("*.yaml")]
    physical = sum(re.search(r"^type: physical", text, re.M) is not None for text in texts)
    return json.dumps({"sites": len(texts), "physical": physical, "virtual": len(texts) - physical})


def count_of_targets(fleet: Path) -> int:
    """How many targets the environments have together."""
    texts = [path.read_text() for path in (fleet / "config" / "environments").glob("*.yaml")]
    blocks = [re.search(r"^targets:\n((?:  .*\n)+)", text, re.M) for text in texts]
    return sum(len(re.findall(r"^  \w+:", block[1], re.M)) for block in blocks if block)
