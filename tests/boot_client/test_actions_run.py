"""An action from the first request to the report, against a real HTTPS server."""

from __future__ import annotations

import hashlib
import json

import pytest

from node.boot import client, commands
from node.boot.errors import CommandFailed
from tests.boot_client.bootserver import Reply, Site, document, file
from tests.boot_client.conftest import ID, Machine

KERNEL = b"kernel" * 1000
INITRAMFS = b"initramfs" * 5000


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


@pytest.fixture
def stage(site: Site, machine: Machine) -> Site:
    """A stage that answers with a chain to `next.json`, and takes reports."""
    machine.kargs["epoxy.stage2"] = site.on(
        "POST", f"/v1/boot/h/{ID}/stage2", document({"v1": {"chain": site.url("/next.json")}})
    )
    machine.kargs["epoxy.report"] = site.on("POST", f"/v1/boot/h/{ID}/report", Reply(204))
    return site


def reports(site: Site) -> list[dict[str, str]]:
    return [one.form for one in site.of("POST", f"/v1/boot/h/{ID}/report")]


def test_a_whole_action_fetches_its_files_runs_its_commands_and_reports_success(stage: Site, machine: Machine) -> None:
    copy = machine.folder / "loaded"
    stage.on("GET", "/kernel", file(KERNEL))
    stage.on("GET", "/initramfs", file(INITRAMFS))
    stage.on(
        "GET",
        "/next.json",
        document(
            {
                "v1": {
                    "vars": {"args": ["epoxy.hostname={{kargs `epoxy.hostname`}}", "quiet"]},
                    "files": {
                        "kernel": {"url": stage.url("/kernel"), "sha256": sha256(KERNEL)},
                        "initramfs": {"url": stage.url("/initramfs"), "sha256": sha256(INITRAMFS).upper()},
                    },
                    "env": {"WORDS": "{{.vars.args}}", "KERNEL": "{{.files.kernel.name}}"},
                    "commands": [
                        "# a comment",
                        f"cp {{{{.files.kernel.name}}}} {copy}",
                        ["sh", "-c", f'cat "$KERNEL" {{{{.files.initramfs.name}}}} > {copy}2; echo "$WORDS" > {copy}3'],
                    ],
                }
            }
        ),
    )

    assert machine.boot() == client.DONE

    assert copy.read_bytes() == KERNEL
    assert copy.with_name("loaded2").read_bytes() == KERNEL + INITRAMFS
    hostname = machine.kargs["epoxy.hostname"]
    assert copy.with_name("loaded3").read_text() == f"epoxy.hostname={hostname} quiet\n"
    ask = stage.of("POST", f"/v1/boot/h/{ID}/stage2")[0]
    assert (ask.body, ask.headers["content-length"]) == (b"", "0")
    assert ask.headers["content-type"] == "application/x-www-form-urlencoded"
    (told,) = reports(stage)
    assert told["message"] == "success"
    assert json.loads(told["debug.config"])["v1"]["vars"] == {"args": f"epoxy.hostname={hostname} quiet"}
    times = json.loads(told["stage.times"])
    assert set(times) == {"ask", "chain", "evaluate", "files", "commands"}
    assert all(seconds >= 0 for seconds in times.values())
    assert "sha256 verified" in told["log.tail"]
    assert len(told["boot_id"]) == 36


def test_nothing_is_left_behind_after_success_or_failure(
    stage: Site, machine: Machine, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = machine.folder / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    stage.on("GET", "/kernel", file(KERNEL))
    for command, status in ((["true"], client.DONE), (["false"], client.FAILED)):
        v1 = {"files": {"kernel": {"url": stage.url("/kernel")}}, "commands": [command]}
        stage.on("GET", "/next.json", document({"v1": v1}))
        assert machine.boot() == status
        assert list(temporary.iterdir()) == []


def test_the_first_failing_command_stops_the_run_and_is_reported_as_the_original_words_it(
    stage: Site, machine: Machine
) -> None:
    mark = machine.folder / "mark"
    commands = [["sh", "-c", "exit 3"], ["touch", str(mark)]]
    stage.on("GET", "/next.json", document({"v1": {"commands": commands}}))
    assert machine.boot() == client.FAILED
    assert not mark.exists()
    assert reports(stage)[0]["message"] == 'error: ["sh" "-c" "exit 3"] : exit status 3'


def test_output_of_commands_and_their_times_come_with_the_report(stage: Site, machine: Machine) -> None:
    script = "echo out; echo err >&2; echo 'join.token 1.25' >> $EPOXY_TIMES; echo nonsense >> $EPOXY_TIMES"
    stage.on("GET", "/next.json", document({"v1": {"commands": [["sh", "-c", script]]}}))
    assert machine.boot() == client.DONE
    (told,) = reports(stage)
    assert "  out\n" in told["log.tail"] and "  err\n" in told["log.tail"]
    assert json.loads(told["stage.times"])["commands.join.token"] == 1.25


def test_a_failed_try_is_repeated_and_files_that_were_verified_are_not_fetched_again(
    stage: Site, machine: Machine
) -> None:
    flag = machine.folder / "flag"
    stage.on("GET", "/kernel", file(KERNEL))
    script = f"test -e {flag} || {{ touch {flag}; exit 1; }}"
    files = {"kernel": {"url": stage.url("/kernel"), "sha256": sha256(KERNEL)}}
    stage.on("GET", "/next.json", document({"v1": {"files": files, "commands": [["sh", "-c", script]]}}))
    assert machine.boot(retry=True) == client.DONE
    assert [told["message"].partition(":")[0] for told in reports(stage)] == ["error", "success"]
    assert len(stage.of("GET", "/kernel")) == 1
    assert len(machine.pauses) == 1 and 0.5 <= machine.pauses[0] <= 1.0


def test_a_command_that_takes_too_long_is_ended() -> None:
    said: list[str] = []
    with pytest.raises(CommandFailed, match=r"not done after 0\.2 s"):
        commands.run([["sh", "-c", "sleep 600 & wait"]], {}, said.append, limit_s=0.2)


def test_commands_inherit_the_environment_and_the_documents_own_goes_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INHERITED", "one")
    monkeypatch.setenv("REPLACED", "two")
    said: list[str] = []
    commands.run([["sh", "-c", "echo $INHERITED $REPLACED"]], {"REPLACED": "three"}, said.append)
    assert said[-1] == "  one three"
