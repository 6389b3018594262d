"""^C at any step of `mlab up`, of a build and of `make demo`, however often: no process is left, and no file."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import waiting
from tests.e2e.checkout import Checkout
from tests.platform import machine, running, sourcetree

COMPILER = "/compile "


def compiling(mark: str) -> bool:
    """Whether Go's compiler itself is at work, two generations below the command that was started."""
    return any(COMPILER in command for command in machine.marked(mark).values())


def gone(mark: str) -> None:
    waiting.until(lambda: not machine.marked(mark), "every process has ended", limit_s=60)


@pytest.mark.xdist_group("platform-interrupted")
@pytest.mark.parametrize(
    ("records", "number"),
    [(1, signal.SIGINT), (6, signal.SIGINT), (9, signal.SIGTERM)],
    ids=["among the light servers", "in the midst", "at the last ones, terminated"],
)
def test_an_interrupted_up_takes_away_what_it_started(checkout: Checkout, records: int, number: signal.Signals) -> None:
    command = running.start(checkout, "up", "--env", running.ENV)
    waiting.until(lambda: command.recorded() >= records, f"{records} processes recorded", limit_s=120)
    started = machine.marked(command.mark)
    command.signal(number)
    status, said = command.ended()
    assert status == 130 and "Traceback" not in said, said
    assert len(started) >= records and machine.marked(command.mark) == {}
    assert "stopping what was started" in said and said.splitlines()[-1].startswith("interrupted")


@pytest.mark.xdist_group("platform-interrupted")
def test_an_impatient_person_leaves_nothing_behind_either(checkout: Checkout) -> None:
    command = running.start(checkout, "up", "--env", running.ENV)
    waiting.until(lambda: command.recorded() >= 5, "5 processes recorded", limit_s=120)
    while command.process.poll() is None:
        command.signal(signal.SIGINT)
        time.sleep(0.02)
    # One that comes when all is done and the interpreter itself is ending is answered by the kernel.
    assert command.ended()[0] in (130, -signal.SIGINT)
    assert machine.marked(command.mark) == {}


@pytest.fixture(scope="module")
def building(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources whose first program nobody has built."""
    return sourcetree.with_own_module(sourcetree.make(tmp_path_factory.mktemp("building") / "tree"), sourcetree.LONG)


def cold(tree: Path, folder: Path) -> dict[str, str]:
    """An environment in which that copy runs and in which nothing is cached."""
    places = {name: str(folder / name) for name in ("XDG_CACHE_HOME", "GOCACHE", "TMPDIR")}
    for place in places.values():
        Path(place).mkdir()
    return {**places, "PYTHONPATH": str(tree)}


@pytest.mark.xdist_group("platform-building")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_a_build_ends_with_the_command_that_needs_it(building: Path, tmp_path: Path, number: signal.Signals) -> None:
    checkout = Checkout(building, tmp_path / "state", cold(building, tmp_path))
    command = running.start(checkout, "up", "--env", running.ENV)
    waiting.until(lambda: compiling(command.mark), "the compiler is at work", limit_s=120)
    command.signal(number)
    status, said = command.ended()
    assert status == (-number if number == signal.SIGKILL else 130), said
    gone(command.mark)
    assert not (tmp_path / "state" / "platform" / "processes").exists()
    built = tmp_path / "XDG_CACHE_HOME" / "mlab" / "bin"
    assert not [path for path in built.rglob("*") if path.is_file() and not path.name.startswith(".")]
    assert list((tmp_path / "TMPDIR").iterdir()) == []
    if number != signal.SIGKILL:
        assert not [path for path in built.rglob("*") if path.is_file()]
        assert not (tmp_path / "XDG_CACHE_HOME" / "mlab" / "scratch").exists()


class Demo:
    """`make demo` in a copy of the sources, as at a terminal: in a foreground group that gets every ^C as a whole."""

    def __init__(self, tree: Path, folder: Path, **variables: str) -> None:
        self.folder, self.mark = folder, uuid.uuid4().hex
        self.log = (folder / "demo.log").open("w+")
        environment = {**os.environ, "PYTHONPATH": str(tree), **variables, machine.MARK: self.mark}
        self.process = subprocess.Popen(
            ["make", "--no-print-directory", "demo"],
            cwd=tree,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            env=environment,
            start_new_session=True,
        )

    def state(self) -> Path | None:
        """Where its platform is, once it has a folder."""
        return next(iter((self.folder / "TMPDIR").glob("mlab-demo-*/state/platform/processes")), None)

    def records(self) -> int:
        place = self.state()
        return 0 if place is None else len(list(place.glob("[!.]*.json")))

    def runs(self, *words: str) -> bool:
        """Whether it is at a verb right now."""
        return any(all(word in command for word in words) for command in machine.marked(self.mark).values())

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        waiting.until(condition, what, limit_s=240, process=self.process, told=self.said)

    def interrupt(self) -> None:
        os.killpg(self.process.pid, signal.SIGINT)

    def said(self) -> str:
        return Path(self.log.name).read_text()[-3000:]

    def close(self) -> None:
        """End it whatever happened."""
        if self.process.poll() is None:
            self.interrupt()
        self.process.wait(120)
        self.log.close()


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sourcetree.make(tmp_path_factory.mktemp("demo") / "tree")


@pytest.fixture
def demo(tree: Path, tmp_path: Path) -> Iterator[Demo]:
    (tmp_path / "TMPDIR").mkdir()
    made = Demo(tree, tmp_path, TMPDIR=str(tmp_path / "TMPDIR"))
    yield made
    made.close()


def left_nothing(demo: Demo) -> None:
    """It ended for the interrupt, said so, and no process and no file is there any more."""
    assert demo.process.wait(120) != 0
    assert "demo: interrupted" in demo.said() and "Traceback" not in demo.said()
    assert machine.marked(demo.mark) == {}, demo.said()
    assert list((demo.folder / "TMPDIR").iterdir()) == []


@pytest.mark.xdist_group("platform-building")
def test_a_demo_that_is_interrupted_while_programs_are_built_leaves_nothing(building: Path, tmp_path: Path) -> None:
    demo = Demo(building, tmp_path, **cold(building, tmp_path))
    try:
        demo.wait_for(lambda: compiling(demo.mark), "the compiler is at work")
        demo.interrupt()
        left_nothing(demo)
    finally:
        demo.close()


@pytest.mark.xdist_group("platform-demo")
@pytest.mark.parametrize("step", ["up", "apply"])
def test_a_demo_that_is_interrupted_at_a_step_leaves_nothing(demo: Demo, step: str) -> None:
    if step == "up":
        demo.wait_for(lambda: demo.records() > len(running.LIGHT) + 2, "the whole platform starts")
    else:
        demo.wait_for(lambda: demo.runs("/mlab apply --env sandbox"), "the first apply runs")
    assert len(machine.marked(demo.mark)) > len(running.LIGHT)
    demo.interrupt()
    left_nothing(demo)
