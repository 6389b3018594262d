"""The client as a program: flags as the original's, exit statuses, and its end by a signal."""

from __future__ import annotations

import compileall
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from node.boot import client, epoxy_client, stage2, stage3
from node.boot.errors import Usage
from tests import waiting
from tests.boot_client.authority import Authority
from tests.boot_client.bootserver import Reply, Site, document
from tests.boot_client.conftest import ID

CHECKOUT = Path(__file__).parents[2]
RUN = """
import runpy, sys
sys.path.insert(0, sys.argv.pop(1))
runpy.run_module('node.boot.epoxy_client', run_name='__main__')
"""


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client as an initramfs has it: compiled files alone."""
    folder = tmp_path_factory.mktemp("compiled")
    shutil.copytree(CHECKOUT / "node" / "boot", folder / "node" / "boot", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(CHECKOUT / "node" / "__init__.py", folder / "node")
    assert compileall.compile_dir(folder, quiet=1, legacy=True, workers=1)
    for source in folder.rglob("*.py"):
        source.unlink()
    return folder


def command(compiled: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", RUN, str(compiled), *arguments]


def test_it_runs_from_compiled_files_with_the_standard_library_alone(
    compiled: Path, tmp_path: Path, site: Site, authority: Authority
) -> None:
    url = site.on("POST", f"/v1/boot/h/{ID}/stage3", document({"v1": {"commands": [["echo", "done"]]}}))
    report = site.on("POST", f"/v1/boot/h/{ID}/report", Reply(204))
    (tmp_path / "cmdline").write_text(f"epoxy.stage3={url} my.report={report}")
    flags = ["-action", "epoxy.stage3", "--report=my.report", "-cmdline", str(tmp_path / "cmdline"), "-retry=false"]
    done = subprocess.run(
        command(compiled, *flags, "-ca-file", str(authority.file)),
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin"},
        timeout=60,
        check=False,
    )
    assert done.returncode == client.DONE, done.stderr
    assert len(site.of("POST", f"/v1/boot/h/{ID}/report")) == 1
    assert ID not in done.stdout + done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_command_that_runs_and_removes_the_files(
    compiled: Path, tmp_path: Path, number: signal.Signals
) -> None:
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    script = "echo group $$; sleep 600 & wait"
    (tmp_path / "action").write_text(json.dumps({"v1": {"commands": [["sh", "-c", script]]}}))
    (tmp_path / "cmdline").write_text(f"epoxy.stage2=file://{tmp_path}/action")
    environment = {"PATH": "/usr/bin:/bin", "TMPDIR": str(scratch)}
    running = subprocess.Popen(
        command(compiled, "-cmdline", str(tmp_path / "cmdline")), stderr=subprocess.PIPE, text=True, env=environment
    )
    assert running.stderr is not None
    with running.stderr:
        said = next(line for line in running.stderr if "  group " in line)
        running.send_signal(number)
        running.stderr.read()
    assert running.wait(120) == 128 + number
    group = int(said.split()[-1])
    # The kernel ends the command's children a moment after the command.
    waiting.until(lambda: not _alive(group), "its group ends", limit_s=60, step_s=0.01, told=lambda: _alive(group))
    assert list(scratch.iterdir()) == []


def _alive(group: int) -> list[str]:
    """Processes of a group that run; one that ended and that nobody took note of is none."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(its_group) == group and state != "Z":
            found.append(stat.parent.name)
    return found


@pytest.mark.parametrize(
    ("line", "flags", "status"),
    [
        ("epoxy.stage2=", [], client.USAGE),
        ("quiet", [], client.USAGE),
        (None, [], client.USAGE),
        ("epoxy.stage2=file:///x", ["-nonsense"], client.USAGE),
        ("epoxy.stage2=file:///x", ["-ca-file=/does/not/exist"], client.USAGE),
        ("epoxy.stage2=file:///does/not/exist", ["-retry=false"], client.FAILED),
        ("epoxy.stage2=file:///does/not/exist", ["-dryrun"], client.FAILED),
    ],
)
def test_exit_statuses_tell_a_wrong_flag_from_a_failed_action(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], line: str | None, flags: list[str], status: int
) -> None:
    if line is not None:
        (tmp_path / "cmdline").write_text(line)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        assert epoxy_client.main(["-cmdline", str(tmp_path / "cmdline"), *flags]) == status
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "changed"),
    [
        ([], {}),
        (["-action", "epoxy.stage3"], {"action": "epoxy.stage3"}),
        (["--action=a=b", "-report=r"], {"action": "a=b", "report": "r"}),
        (["-add-kargs", "-dryrun=true", "-retry=0"], {"add_kargs": True, "dry_run": True, "retry": False}),
        (["-retry=F", "-retry=T"], {"retry": True}),
        (["-retry-for", "60", "-ca-file", "/x"], {"retry_for_s": 60.0, "ca_file": Path("/x")}),
        (["-cmdline=/y", "--"], {"cmdline": Path("/y")}),
    ],
)
def test_flags_are_written_as_the_originals(arguments: list[str], changed: dict[str, object]) -> None:
    assert epoxy_client.options(arguments) == client.Options()._replace(**changed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "arguments",
    [
        ["x"],
        ["-x"],
        ["---action=a"],
        ["-action"],
        ["-retry", "false"],
        ["-retry=no"],
        ["-retry-for=1h"],
        ["-"],
        ["--", "x"],
    ],
)
def test_a_flag_that_is_not_known_or_lacks_its_value_is_refused(arguments: list[str]) -> None:
    with pytest.raises(Usage):
        epoxy_client.options(arguments)


def test_stage2_is_stage1_where_the_medium_says_so() -> None:
    assert stage2.options({"epoxy.stage1": "u", "epoxy.stage2": "v"}) == client.Options(
        action="epoxy.stage1", add_kargs=True
    )
    assert stage2.options({"epoxy.stage2": "v"}) == client.Options(action="epoxy.stage2")


def test_stage2_restarts_a_machine_only_as_its_first_process() -> None:
    with pytest.raises(AssertionError):
        stage2._restart(print)


def test_stage3_tells_experiments_about_the_machine_and_refuses_one_that_epoxy_did_not_boot(
    capsys: pytest.CaptureFixture[str],
) -> None:
    facts = stage3.facts({"epoxy.ipv4": "192.0.2.9/26,192.0.2.1,,"})
    assert facts == {"kernel-version": os.uname().release, "managed": "switch,machine", "loadbalanced": "false"}
    # This machine's own command line has no epoxy.stage3.
    assert stage3.main([]) == client.USAGE
    assert "not booted by ePoxy" in capsys.readouterr().err
