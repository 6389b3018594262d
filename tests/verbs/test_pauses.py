"""`mlab pause` and `mlab resume`: nobody writes a paused scope, and a pause ends by itself."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests import fleets, waiting
from tests.e2e.checkout import Checkout
from tests.light import GROUP, Light

pytestmark = GROUP


@pytest.fixture
def light(light: Light) -> Iterator[Light]:
    """A pause of a test ends with it."""
    yield light
    for env in ("sandbox", "staging"):
        assert light.checkout.mlab("resume", env).status == 0


def new_release(light: Light) -> None:
    fleets.edit(light.checkout.root, "config/environments/sandbox.yaml", "v2.1.10", "v2.1.9")
    light.checkout.commit("Another release")


def epoxy(light: Light) -> int:
    """How many changes a plan has in sandbox/epoxy."""
    _, plan = light.checkout.plan("sandbox", "--target", "epoxy")
    return len(plan["scopes"][0]["changes"])


def test_a_paused_scope_is_left_alone_and_the_others_are_not(light: Light) -> None:
    new_release(light)
    assert epoxy(light) > 0
    done = light.checkout.mlab("pause", "sandbox/epoxy", "--reason", "the registry moves", "--for", "2h")
    assert done.status == 0 and "sandbox/epoxy: paused until " in done.out
    shown = light.checkout.mlab("plan", "--env", "sandbox", "--target", "epoxy")
    assert shown.status == 0 and "left alone: paused by " in shown.out and "the registry moves" in shown.out
    assert light.checkout.apply("sandbox").status == 0
    assert "v2.1.10" in light.host("GET", "sandbox", "mlab1-lga1t.mlab-sandbox.measurement-lab.test").text
    status = light.checkout.mlab("status", "--env", "sandbox")
    assert "sandbox/epoxy: paused by " in status.out and "the registry moves" in status.out
    assert "paused by" not in light.checkout.mlab("status", "--env", "staging").out

    assert light.checkout.mlab("resume", "sandbox/epoxy").status == 0
    assert epoxy(light) > 0
    assert light.checkout.apply("sandbox").status == 0
    assert "v2.1.9" in light.host("GET", "sandbox", "mlab1-lga1t.mlab-sandbox.measurement-lab.test").text


def test_a_pause_ends_by_itself(light: Light) -> None:
    new_release(light)
    assert light.checkout.mlab("pause", "sandbox/epoxy", "--reason", "a moment", "--for", "1s").status == 0
    waiting.until(lambda: epoxy(light) > 0, "the pause is over")


def test_a_whole_environment_is_paused_and_one_scope_of_it_resumed(light: Light) -> None:
    assert light.checkout.mlab("pause", "staging", "--reason", "an exam", "--for", "1d").status == 0
    assert light.checkout.mlab("pause", "staging", "--reason", "a longer exam", "--for", "2d").status == 0
    assert light.checkout.mlab("resume", "staging/buckets").status == 0
    out = light.checkout.mlab("status", "--env", "staging").out
    assert out.count("a longer exam") == 4 and "staging/buckets: paused" not in out
    assert light.checkout.mlab("resume", "staging").status == 0
    assert light.checkout.mlab("resume", "staging").status == 0
    assert "exam" not in light.checkout.mlab("status", "--env", "staging").out


def test_a_file_of_pauses_that_is_none_is_named_and_hides_no_plan(light: Light) -> None:
    done = light.checkout.mlab("pause", "sandbox/epoxy", "--reason", "x", "--for", "1h")
    assert done.status == 0
    bucket, name = "mlab-reconciler-mlab-sandbox", "pauses/sandbox.json"
    params = {"uploadType": "media", "name": name}
    path = f"/upload/storage/v1/b/{bucket}/o"
    assert light.store("POST", "sandbox", path, params=params, data=b'{"pauses": {"epoxy": 7}}').ok
    shown = light.checkout.mlab("plan", "--env", "sandbox", "--target", "epoxy")
    assert shown.status == 0 and "whether a scope is paused is not known" in shown.out, shown.out + shown.err
    assert light.object("DELETE", "sandbox", bucket, name).ok


def with_store_at(light: Light, state: Path, endpoint: str) -> Checkout:
    """The same platform, with sandbox's buckets somewhere else."""
    overlay = json.loads((light.checkout.state / "platform" / "platform.json").read_text())
    overlay["environments"]["sandbox"]["targets"]["buckets"]["endpoint"] = endpoint
    (state / "platform").mkdir(parents=True)
    (state / "platform" / "platform.json").write_text(json.dumps(overlay))
    return replace(light.checkout, state=state)


def test_an_environment_that_git_pauses_is_asked_nothing(light: Light, tmp_path: Path) -> None:
    path = light.checkout.root / "config/environments/sandbox.yaml"
    text = path.read_text().replace(": apply", ": paused")
    path.write_text(text.replace("lock_ttl_s", "# asleep\nlock_ttl_s"))
    light.checkout.commit("Pause sandbox")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        asleep = with_store_at(light, tmp_path, f"http://127.0.0.1:{server.getsockname()[1]}")
        for verb in ("plan", "drift"):
            done = asleep.mlab(verb, "--env", "sandbox", "--timeout", "2")
            assert done.status == 0 and done.out.count("its mode is `paused`") == 5, done.out + done.err
        applied = asleep.mlab("apply", "--env", "sandbox", "--yes", "--timeout", "2")
        assert applied.status == 0, applied.out + applied.err
        with pytest.raises(BlockingIOError):
            server.accept()


def test_a_record_that_cannot_be_read_is_told_and_not_taken_for_none(light: Light, tmp_path: Path) -> None:
    new_release(light)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        lost = with_store_at(light, tmp_path, f"http://127.0.0.1:{closed.getsockname()[1]}")
        status, plan = lost.plan("sandbox", "--target", "epoxy", "--markdown", str(tmp_path / "plan.md"))
        drifted = lost.mlab("drift", "--env", "sandbox", "--target", "epoxy")
    assert status == 2 and plan["base"] is None
    (line,) = plan["problems"]
    assert line.startswith("what was last applied and what is paused cannot be read, so no cause is told: ")
    reasons = {change["reason"].partition(";")[0] for scope in plan["scopes"] for change in scope["changes"]}
    assert reasons == {"the record of the last apply cannot be read"}
    assert "over `a record that cannot be read`" in (tmp_path / "plan.md").read_text()
    assert drifted.status == 4 and "the record of the last apply cannot be read" in drifted.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("pause", "sandbox/epoxy", "--reason", "x", "--for", "8d"), "at most 7d"),
        (("pause", "sandbox/epoxy", "--reason", "x", "--for", "0h"), "at most 7d"),
        (("pause", "sandbox/epoxy", "--reason", "x", "--for", "soon"), "write a time as 30m, 4h or 2d"),
        (("pause", "sandbox/epoxy", "--reason", " "), "say in one line why"),
        (("pause", "sandbox/moon", "--reason", "x"), "no such target"),
        (("pause", "moon", "--reason", "x"), "no such environment"),
        (("resume", "sandbox/moon"), "no such target"),
    ],
)
def test_what_cannot_be_paused_is_refused_with_the_limit(applied: Light, words: tuple[str, ...], said: str) -> None:
    done = applied.checkout.mlab(*words)
    assert done.status == 1 and said in done.err, done.out + done.err
