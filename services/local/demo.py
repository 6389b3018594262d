"""`make demo`: the main job on this machine, step by step, in words for someone who sees it for the first time.

Everything happens in a clone below a temporary folder: the checkout is never touched. Each step runs the `mlab`
command that a person would type, and says what it shows. Ends with `mlab down`, whatever happened.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from services.local import demo_cluster, demo_edits
from services.local.interrupts import Interrupts

CHECKOUT = Path(__file__).parents[2]
ENVIRONMENTS = ("sandbox", "staging", "production")
END = 5
"""How many of an answer's last lines are shown: sums and results stand there."""
WIDTH = 200
STALL_S = 240.0
NODES = {"sandbox": 13, "staging": 117, "production": 384}


class Unexpected(Exception):
    """A step did not end as it must; the demo stops and says so."""


@dataclass(slots=True)
class Demo:
    """The clone, the state folder beside it, and what the summary will tell."""

    base: Path
    interrupts: Interrupts
    began: float = field(default_factory=time.monotonic)
    lines: list[str] = field(default_factory=list)
    child: subprocess.Popen[str] | None = None

    @property
    def fleet(self) -> Path:
        """The clone whose configuration is edited."""
        return self.base / "fleet"

    @property
    def state(self) -> Path:
        """Where the platform, the spool and the audit files lie."""
        return self.base / "state"

    def say(self, title: str, *, why: str = "") -> None:
        """A heading with the time since the start, and a line that explains."""
        passed = int(time.monotonic() - self.began)
        shown = f"\033[1m{title}\033[0m" if sys.stdout.isatty() else title
        print(f"\n[{passed // 60}:{passed % 60:02}] {shown}")
        if why:
            print(f"       {why}")
        sys.stdout.flush()

    def progress(self, text: str) -> None:
        """A line of something that takes its time."""
        print(f"  {text}", flush=True)

    def mlab(self, *words: str, want: Sequence[int] = (0,), show: int = 14) -> str:
        """Run `mlab WORDS`, print the command and the first lines of its answer, and insist on its exit status."""
        print(f"  $ mlab {' '.join(words)}", flush=True)
        command = [
            str(Path(sys.executable).with_name("mlab")),
            *words,
            "--root",
            str(self.fleet),
            "--state",
            str(self.state),
        ]
        with self.interrupts.held():
            self.child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        output, _ = self.child.communicate()
        status, self.child = self.child.returncode, None
        lines = output.rstrip().splitlines()
        ends = lines[-END:] if len(lines) > show + END else lines[show:]
        for line in lines[:show]:
            print(f"    {line[:WIDTH]}")
        if len(lines) > show + END:
            print(f"    … {len(lines) - show - END} more lines")
        for line in ends:
            print(f"    {line[:WIDTH]}")
        if status not in want:
            raise Unexpected(f"`mlab {' '.join(words)}` ended with {status}, not {' or '.join(map(str, want))}")
        print(f"    (exit {status})", flush=True)
        return output

    def commit(self, message: str) -> str:
        """Commit everything in the clone, as a merged pull request would."""
        git = ["git", "-C", str(self.fleet), "-c", "user.name=demo", "-c", "user.email=demo@measurement-lab.test"]
        subprocess.run([*git, "add", "-A"], check=True)
        subprocess.run([*git, "commit", "-q", "-m", message], check=True)
        done = subprocess.run([*git, "log", "-1", "--format=%h %s"], check=True, capture_output=True, text=True)
        print(f"  $ git commit    {done.stdout.strip()}")
        return done.stdout.split()[0]

    def note(self, line: str) -> None:
        """Keep a line for the summary."""
        self.lines.append(line)


def main() -> int:
    """Run all steps; 0 if each showed what it must."""
    interrupts = Interrupts()
    base = Path(tempfile.mkdtemp(prefix="mlab-demo-"))
    demo = Demo(base, interrupts)
    status = 1
    try:
        _steps(demo)
        status = 0
    except (Unexpected, TimeoutError, subprocess.SubprocessError) as error:
        print(f"\ndemo: {error}; the platform's logs: {_kept_logs(demo)}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\ndemo: interrupted; stopping the platform", file=sys.stderr)
        status = 130
    finally:
        status = _down(demo, status)
    if status == 0:
        _summary(demo)
        shutil.rmtree(base)
    elif status == 130:
        shutil.rmtree(base, ignore_errors=True)
    return status


def _steps(demo: Demo) -> None:
    demo.say("A clone of this checkout", why=f"Edits are committed there, never here: {demo.fleet}")
    demo_edits.clone(CHECKOUT, demo.fleet)
    with _building(demo.interrupts) as built:
        _look_first(demo)
        demo.say(
            "The platform's programs", why="etcd, Kubernetes, kwok, Prometheus, Alertmanager: built once, then cached."
        )
        built()
    demo.say(
        "Everything up",
        why="Per environment: Kubernetes, kwok, object store, ePoxy, BIND, Prometheus, Alertmanager.",
    )
    demo.mlab("up")
    _first_apply(demo)
    _drift(demo)
    _retire(demo)
    _too_much(demo)
    _broken_rule(demo)


def _look_first(demo: Demo) -> None:
    demo.say("Validate", why="Every file, every cross-file rule, all problems in one run.")
    demo.mlab("validate")
    demo.say(
        "Render", why="Names, addresses, Kubernetes objects, Prometheus rules, published files: no target is asked."
    )
    demo.mlab("render")
    demo.say(
        "The first plan",
        why="What needs no build is up: object store, ePoxy, name server. The other targets are not observed yet.",
    )
    demo.mlab("up", "--light")
    demo.mlab("plan", "--env", "sandbox", want=(4,), show=22)
    demo.note(f"first plan on the screen after {time.monotonic() - demo.began:.0f} s")


def _first_apply(demo: Demo) -> None:
    for env in ENVIRONMENTS:
        demo.say(
            f"Plan, review and apply {env}", why="The digest is what a reviewer approves; apply does that or less."
        )
        digest = _digest(demo.mlab("plan", "--env", env, want=(2,), show=8))
        began = time.monotonic()
        demo.mlab("apply", "--env", env, "--yes", "--digest", digest, show=4)
        demo.note(f"first apply of {env}: {time.monotonic() - began:.0f} s")
    demo.say("Nodes and pods", why="kwok registers the published machines; the real scheduler places the experiments.")
    began = time.monotonic()
    counted = demo_cluster.wait_for_nodes(demo.state, NODES, stall_s=STALL_S, tell=demo.progress)
    total = sum(one.nodes for one in counted.values())
    pods = sum(one.pods for one in counted.values())
    demo.note(f"{total} nodes Ready and {pods} pods Ready {time.monotonic() - began:.0f} s later")
    targets = demo_edits.count_of_targets(demo.fleet)
    demo.say("The second plan is empty", why=f"Nothing to do: git and all {targets} targets of the environments agree.")
    demo.mlab("plan", want=(0,), show=20)


def _drift(demo: Demo) -> None:
    demo.say(
        "Somebody edits a live object", why="kubectl changes the termination grace of the NDT DaemonSet in sandbox."
    )
    demo_cluster.edit_daemonset(demo.state, "sandbox")
    demo.mlab("drift", "--env", "sandbox", want=(2,))
    demo.mlab("apply", "--env", "sandbox", "--yes")
    demo.mlab("drift", "--env", "sandbox", want=(0,))
    demo.note("a hand-made edit was found by drift and healed by apply")


def _retire(demo: Demo) -> None:
    sites = demo_edits.full_sites(demo.fleet, 2)
    demo.say(
        f"Retire {' and '.join(sites)}, in two commits", why="First lame-duck: no new clients. Then retired: no boot."
    )
    for site in sites:
        demo_edits.set_state(demo.fleet, site, "lame-duck")
    demo.commit(f"Drain {' and '.join(sites)}")
    for env in ENVIRONMENTS:
        digest = _digest(demo.mlab("plan", "--env", env, want=(0, 2)))
        demo.mlab("apply", "--env", env, "--yes", "--digest", digest, show=3)
    for site in sites:
        demo_edits.set_state(demo.fleet, site, "retired")
    demo.commit(f"Retire {' and '.join(sites)}")
    for env in ENVIRONMENTS:
        digest = _digest(demo.mlab("plan", "--env", env, want=(0, 2), show=24))
        demo.mlab("apply", "--env", env, "--yes", "--digest", digest, show=3)
    demo.note(f"{' and '.join(sites)} drained, then retired, each change with its file and line")


def _too_much(demo: Demo) -> None:
    sites = demo_edits.full_sites(demo.fleet, 3)
    demo.say(
        f"Now {len(sites)} sites vanish from git at once",
        why="More hosts would lose their boot than the limit permits.",
    )
    for site in sites:
        demo_edits.remove_site(demo.fleet, site)
    demo.commit(f"Remove {', '.join(sites)}")
    planned = demo.mlab("plan", "--env", "production", want=(3,), show=10)
    demo.mlab("apply", "--env", "production", "--yes", "--digest", _digest(planned), want=(3,), show=8)
    demo.say("An acknowledgement in git permits it", why="Narrow, reviewed, and it expires by itself.")
    until = (datetime.now(UTC) + timedelta(days=7)).date()
    demo_edits.write_ack(demo.fleet, sites, until.isoformat())
    demo.commit(f"Permit the removal of {', '.join(sites)} until {until}")
    digest = _digest(demo.mlab("plan", "--env", "production", want=(2,), show=10))
    demo.mlab("apply", "--env", "production", "--yes", "--digest", digest, show=6)
    demo.note("a change that deletes too much was refused (exit 3), then permitted by an acknowledgement")


def _broken_rule(demo: Demo) -> None:
    demo.say("A broken alert rule", why="An expression that does not parse is refused before a plan is made.")
    before = demo_cluster.rule_names(demo.state, "sandbox")
    undo = demo_edits.break_expression(demo.fleet)
    demo.mlab("validate", want=(5,), show=6)
    undo()
    demo.say(
        "A rule that only Prometheus can judge",
        why="promtool refuses it before anything is written; Prometheus keeps the former rules.",
    )
    undo = demo_edits.break_template(demo.fleet)
    demo.commit("Break an alert's summary")
    demo.mlab("apply", "--env", "sandbox", "--target", "monitoring", "--yes", want=(4,), show=12)
    if demo_cluster.rule_names(demo.state, "sandbox") != before:
        raise Unexpected("Prometheus does not run the former rules any more")
    print(f"  Prometheus still runs its {len(before)} rules, unchanged")
    undo()
    demo.commit("Mend it")
    demo.note("a broken rule never reached Prometheus")


def _digest(plan_text: str) -> str:
    found = re.findall(r"Digest ([0-9a-f]{12})", plan_text)
    if not found:
        raise Unexpected("the plan names no digest")
    return str(found[-1])


@contextlib.contextmanager
def _building(interrupts: Interrupts) -> Iterator[Callable[[], None]]:
    """Build the Go programs beside the first steps; the value waits for them and raises if they failed."""
    process: subprocess.Popen[bytes] | None = None
    command = [sys.executable, "-m", "services.local.programs"]

    def wait() -> None:
        assert process is not None
        if process.wait() != 0:
            raise Unexpected("the platform's programs could not be built")

    try:
        with interrupts.held():
            process = subprocess.Popen(command, cwd=CHECKOUT, start_new_session=True)
        yield wait
    finally:
        if process is not None and process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait()


def _kept_logs(demo: Demo) -> Path:
    """A copy of the platform's logs, which go with it."""
    kept = demo.base / "logs"
    with contextlib.suppress(OSError):
        shutil.copytree(demo.state / "platform" / "logs", kept, dirs_exist_ok=True)
    return kept


def _down(demo: Demo, status: int) -> int:
    demo.interrupts.over()
    if demo.child is not None and demo.child.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(demo.child.pid, signal.SIGTERM)
        demo.child.wait()
        demo.child = None
    demo.say("Everything down", why="No process and no port stays behind.")
    if not demo.fleet.exists():
        return status
    try:
        demo.mlab("down")
    except Unexpected as error:
        print(f"demo: {error}", file=sys.stderr)
        return status or 1
    return status


def _summary(demo: Demo) -> None:
    records = sorted((demo.state / "audit").glob("*.jsonl"))
    demo.say("Summary")
    sites = json.loads(demo_edits.count_of_sites(demo.fleet))
    print(
        f"  {sites['sites']} sites ({sites['physical']} physical, {sites['virtual']} virtual), "
        f"three environments, {demo_edits.count_of_targets(demo.fleet)} targets in all"
    )
    for line in demo.lines:
        print(f"  - {line}")
    if records:
        print(f"  - {len(records)} audit files were not shipped")
    passed = int(time.monotonic() - demo.began)
    print(
        f"  All of it took {passed // 60} min {passed % 60} s. Next: README.md, docs/one-site.md, `mlab plan --help`."
    )


if __name__ == "__main__":
    sys.exit(main())
