"""`mlab up` and `mlab down`: all starts with a check and a log, and nothing is left, whatever was killed when."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import requests

from tests import waiting
from tests.e2e.checkout import Checkout
from tests.platform import machine, running

pytestmark = pytest.mark.xdist_group("platform-killed")
KILLED_AT = (1, 4, 6, 9)
"""Records at which an `up` is killed: among the light servers, in the midst, at the API server, at the last ones."""

ELSEWHERE = ("HOME", "TMPDIR", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "XDG_DATA_HOME", "XDG_STATE_HOME")
"""Where programs like to leave things."""


def elsewhere(checkout: Checkout, folder: Path) -> Checkout:
    """The checkout's commands with a home, a temporary folder and caches of their own, where nothing shall appear."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    places = {name: folder / name for name in ELSEWHERE}
    for place in places.values():
        place.mkdir(parents=True)
    return replace(
        checkout, environment={"XDG_CACHE_HOME": cache, **{name: str(path) for name, path in places.items()}}
    )


def _recorded(command: running.Command, many: int) -> bool:
    return command.recorded() >= many


def test_whatever_kills_an_up_the_next_cleans_and_two_platforms_do_not_collide(
    checkout: Checkout, tmp_path: Path
) -> None:
    """One story, since each start is costly: four kills, two starts at once, a `down` beside a platform that stays."""
    first = elsewhere(checkout, tmp_path / "elsewhere")
    before: running.Command | None = None
    for records in KILLED_AT:
        command = running.start(first, "up", "--env", running.ENV)
        waiting.until(partial(_recorded, command, records), f"{records} processes recorded", limit_s=120)
        if before is not None:
            assert machine.marked(before.mark) == {}
        command.killed()
        before = command
    assert before is not None and len(machine.marked(before.mark)) >= KILLED_AT[-1]

    second = replace(first, state=tmp_path / "second")
    try:
        with ThreadPoolExecutor(2) as threads:
            one, two = threads.map(running.up, (first, second))
        assert machine.marked(before.mark) == {}
        started_well(one)
        started_well(two)
        apart(one, two)
        assert one.checkout.mlab("down").status == 0
        running.assert_gone(one)
        assert {name: server["problem"] for name, server in two.again().servers.items()} == dict.fromkeys(
            running.FULL, ""
        )
        assert holds_bucket(two, "of-two")
    finally:
        assert second.mlab("down").status == 0
    running.assert_gone(two)
    assert {path.name for path in (tmp_path / "elsewhere").rglob("*")} == set(ELSEWHERE)
    assert not list(second.state.iterdir()) and not list(first.state.iterdir())
    assert first.git("status", "--porcelain", "--ignored") == ""


def started_well(platform: running.Platform) -> None:
    """Every program is healthy, listens on its own ports, and says what it says into its own log below the folder."""
    assert platform.servers.keys() == running.FULL
    processes = machine.marked(platform.mark)
    assert {server["pid"] for server in platform.servers.values()} == processes.keys()
    for name, server in platform.servers.items():
        log = Path(server["log"])
        assert server["problem"] == "", name
        assert log == platform.folder / "logs" / f"{name}.log" and log.stat().st_mode & 0o777 == 0o600
        assert machine.output(server["pid"]) == (log, log)
        assert machine.network(server["pid"]) == machine.network()
        outside = {path for path in machine.written(server["pid"]) if not path.is_relative_to(platform.folder)}
        assert outside == set(), name
    assert platform.ports() <= machine.listening()


def apart(one: running.Platform, two: running.Platform) -> None:
    """Nothing that one has is the other's."""
    assert not one.ports() & two.ports()
    for platform, name in ((one, "of-one"), (two, "of-two")):
        url = f"{platform.targets()['buckets']['endpoint']}/storage/v1/b"
        requests.post(url, params={"project": "p"}, json={"name": name}, timeout=60).raise_for_status()
    assert [holds_bucket(one, "of-two"), holds_bucket(two, "of-two")] == [False, True]
    tokens = {(each.folder / running.ENV / "epoxy" / "admin-token").read_text() for each in (one, two)}
    assert len(tokens) == 2


def holds_bucket(platform: running.Platform, name: str) -> bool:
    return (
        requests.get(f"{platform.targets()['buckets']['endpoint']}/storage/v1/b/{name}", timeout=60).status_code == 200
    )


@pytest.mark.parametrize("verb", ["up", "down"])
def test_a_light_platform_whose_up_was_killed_is_cleaned_by_either_verb(checkout: Checkout, verb: str) -> None:
    command = running.start(checkout, "up", "--light", "--env", running.ENV)
    waiting.until(lambda: command.recorded() >= 1, "one process recorded", limit_s=120)
    command.killed()
    if verb == "up":
        light = running.up(checkout, "--light")
        assert light.servers.keys() == running.LIGHT
    else:
        assert checkout.mlab("down").status == 0
        assert not running.platform(checkout).exists()
    assert machine.marked(command.mark) == {}


def test_a_down_that_was_killed_is_completed_by_the_next(checkout: Checkout) -> None:
    """A stopped server does not end when it is asked to, so that the kill comes in the midst of the work."""
    light = running.up(checkout, "--light")
    stuck, other = (light.servers[f"{running.ENV}/{name}"]["pid"] for name in ("objectstore", "epoxy"))
    os.kill(stuck, signal.SIGSTOP)
    command = running.start(checkout, "down")
    waiting.until(lambda: other not in machine.marked(light.mark), "the other server ends")
    command.killed()
    assert stuck in machine.marked(light.mark)
    os.kill(stuck, signal.SIGCONT)
    assert checkout.mlab("down").status == 0
    running.assert_gone(light)


def test_a_platform_that_lost_a_server_is_started_anew_and_the_reason_is_said(checkout: Checkout) -> None:
    light = running.up(checkout, "--light")
    os.kill(light.servers[f"{running.ENV}/epoxy"]["pid"], signal.SIGKILL)
    waiting.until(lambda: len(machine.marked(light.mark)) < len(running.LIGHT), "the server ends")
    done = checkout.mlab("up", "--light", "--env", running.ENV)
    assert done.status == 0 and "sandbox/epoxy is not running any more" in done.err
    assert machine.marked(light.mark) == {}


def test_an_up_of_what_runs_changes_nothing_and_other_settings_make_another(checkout: Checkout) -> None:
    light = running.up(checkout, "--light")
    assert light.again("--light").servers == light.servers
    other = running.up(checkout, "--light", "--name", "another.measurement-lab.test")
    assert machine.marked(light.mark) == {} and len(machine.marked(other.mark)) == len(running.LIGHT)


def test_down_succeeds_where_nothing_is_up(checkout: Checkout) -> None:
    done = checkout.mlab("down")
    assert done.status == 0 and not checkout.state.exists()


def test_a_folder_with_other_files_is_refused_and_left_alone(checkout: Checkout) -> None:
    folder = running.platform(checkout)
    folder.mkdir(parents=True)
    (folder / "thesis.tex").write_text("years of work")
    for verb in (("up", "--light"), ("down",)):
        done = checkout.mlab(*verb)
        assert done.status == 1 and "thesis.tex" in done.err and len(done.err.splitlines()) == 1
    assert (folder / "thesis.tex").read_text() == "years of work"
    (folder / "thesis.tex").unlink()


def test_what_another_version_left_is_cleaned(checkout: Checkout) -> None:
    light = running.up(checkout, "--light")
    (light.folder / "state.json").write_text('{"stage": "full", "colour": "red", "extra_names": []}')
    assert checkout.mlab("up", "--light", "--env", running.ENV).status == 0
    assert machine.marked(light.mark) == {}


def test_a_half_written_record_of_a_killed_up_stops_nobody(checkout: Checkout) -> None:
    light = running.up(checkout, "--light")
    (light.folder / "processes" / ".sandbox.etcd.json").write_text('{"name": "sandbox/et')
    assert light.again("--light").servers == light.servers
    assert checkout.mlab("down").status == 0
    running.assert_gone(light)
