"""What an operator may choose, and what happens when the store does not answer in the middle of a boot."""

from __future__ import annotations

import re
import sqlite3
import subprocess
from pathlib import Path

import pytest

from services.local import programs
from tests import epoxy_service
from tests.epoxy import machine
from tests.epoxy_service import Service, name

SCRIPT = re.compile(r"#!ipxe\n\necho ePoxy refuses [ -~]+\nsleep 300\nreboot\n")


def test_a_refused_machine_may_be_told_why_on_its_console(tmp_path: Path) -> None:
    service = Service(tmp_path, *machine.PROXY, "--refusal-script").start()
    try:
        host, retired = machine.made(service), machine.made(service, Retired=True)
        odd = "a$%7Bx%7D;%0Ashell"
        for path, address, said in (
            (host.path("stage1.ipxe"), "198.18.200.1", "Caller cannot access host"),
            (retired.path("stage1.ipxe"), retired.address, "Host is retired"),
            (f"/v1/boot/{name(4, 'zzz99')}/stage1.ipxe", host.address, "no such entity"),
            (f"/v1/boot/{odd}/stage1.ipxe", host.address, "no such entity"),
        ):
            answer = host.call(path, address=address)
            assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/plain; charset=us-ascii")
            assert SCRIPT.fullmatch(answer.text) and said in answer.text, answer.text
            assert "${" not in answer.text and "shell\n" not in answer.text
        assert host.call(host.path("stage1.json"), address="198.18.200.1").status_code == 403, "for iPXE alone"
        assert 'epoxy_refused_total{reason="address",route="stage1.ipxe"} 1.0' in service.call("GET", "/metrics").text
        host.boot()
    finally:
        service.kill()


def test_a_boot_ends_after_as_many_minutes_as_the_operator_says(tmp_path: Path) -> None:
    service = Service(tmp_path, *machine.PROXY, "--session-minutes", "1").start()
    try:
        host = machine.made(service)
        host.stage1()
        epoxy_service.age(service, host.name, 61)
        answer = host.ask("stage2")
        assert (answer.status_code, answer.text) == (
            403,
            "Given session ID does not match host record: it has expired\n",
        )
    finally:
        service.kill()


def test_a_store_that_does_not_answer_is_500_in_text_and_the_boot_goes_on_after_it(tmp_path: Path) -> None:
    service = Service(tmp_path, *machine.PROXY).start()
    try:
        host = machine.made(service)
        host.stage1()
        with sqlite3.connect(service.database, isolation_level=None) as db:
            db.execute("ALTER TABLE boot RENAME TO away")
            for answer in (host.ask("stage2"), host.report("error: x"), host.call(host.path("stage1.json"))):
                assert (answer.status_code, answer.text) == (500, "the store does not answer\n")
                assert answer.headers["Retry-After"] == "1"
            db.execute("ALTER TABLE away RENAME TO boot")
        db.close()
        assert [host.ask("stage2").status_code, host.ask("stage3").status_code] == [200, 200]
        assert host.report().status_code == 204
    finally:
        service.kill()


def test_metrics_pass_the_linter_of_prometheus(tmp_path: Path) -> None:
    service = Service(tmp_path, *machine.PROXY, "--commit", "e83c4b1").start()
    try:
        host = machine.made(service)
        host.boot()
        host.ask("stage2")
        text = service.call("GET", "/metrics", token=None).text
        (commit,) = re.findall(r'^git_short_commit\{commit="e83c4b1"\} (\S+)$', text, re.MULTILINE)
        assert float(commit) == 0xE83C4B1
        linter = str(programs.find("promtool"))
        done = subprocess.run([linter, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    finally:
        service.kill()


def test_a_command_line_that_would_be_cut_is_refused_at_stage1(tmp_path: Path) -> None:
    operations = tmp_path / "operations.json"
    rows = ", ".join(f'"operation_number_{number}": {{"url": "http://127.0.0.1:9/"}}' for number in range(12))
    operations.write_text(f"{{{rows}}}")
    service = Service(tmp_path, *machine.PROXY, "--operations", str(operations)).start()
    try:
        host = machine.made(service, Extensions=[f"operation_number_{number}" for number in range(12)])
        for path in ("stage1.ipxe", "stage1.json"):
            answer = host.call(host.path(path))
            assert (answer.status_code, "at most 2048" in answer.text) == (500, True)
    finally:
        service.kill()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--session-minutes", "0"], "--session-minutes is 1 to 1440"),
        (["--stage1-limit", "51"], "--stage1-limit 1 to 50"),
        (["--storage-prefix-url", "gs://bucket"], "https, http or file"),
        (["--trusted-proxies", "10.0.0.1/8"], "has host bits set"),
        (["--proxy-protocol"], "--proxy-protocol needs --trusted-proxies"),
        (["--rom-listen", "127.0.0.1:0"], "--rom-certificate and --rom-key"),
        (["--cluster-server", "https://a.test"], "--cluster-ca and --cluster-token-file"),
        (["--manifest-keys", "/etc/hostname"], "no public key"),
        (["--operations", "/no/such/file"], "/no/such/file"),
        (["--commit", "main"], "hexadecimal"),
    ],
)
def test_an_option_that_cannot_be_is_one_line_and_exit_1(tmp_path: Path, words: list[str], said: str) -> None:
    arguments = Service(tmp_path, *words).arguments()
    done = subprocess.run(arguments, cwd=epoxy_service.ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done.stderr
    (line,) = done.stderr.splitlines()
    assert said in line
