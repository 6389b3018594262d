"""No secret of a boot is printed, kept or reported, whatever goes wrong."""

from __future__ import annotations

import io
import json

import pytest

from node.boot import client, journal, redact, report
from tests.boot_client.bootserver import Reply, Site, document
from tests.boot_client.conftest import Machine

IDS = [letter * 27 for letter in "ABCDE"]
TOKEN = "abcdef.0123456789abcdef"
WORD = "correct-horse"


@pytest.mark.parametrize(
    "first",
    [
        document({"v1": {"commands": [["sh", "-c", "cat {cmdline}; echo {token}; exit 1"]]}}),
        document({"v1": {"commands": [["cat", "{{kargs `epoxy.allocate_k8s_token`}}"]]}}),
        document({"v1": {"vars": {"a": "{{kargs `epoxy.bmc_store_password`}}"}, "commands": ["false {{.vars.a}}"]}}),
        document({"v1": {"files": {"f": {"url": "{{kargs `epoxy.allocate_k8s_token`}}"}}}}),
        document({"v1": {"chain": "{bmc}"}}),
        document({"v1": {"env": {"X": "{{if .y}}{{kargs `epoxy.report`}}"}}}),
        Reply(500, b"no: {token} of {id}"),
        Reply(302, headers={"Location": "{bmc}"}),
        Reply(200, b"{not json"),
    ],
)
def test_no_secret_is_in_the_log_or_the_report(
    site: Site, machine: Machine, capfd: pytest.CaptureFixture[str], first: Reply
) -> None:
    paths = [f"/v1/boot/{machine.kargs['epoxy.hostname']}/{secret}" for secret in IDS]
    machine.kargs |= {
        "epoxy.stage2": site.url(f"{paths[0]}/stage2"),
        "epoxy.stage3": site.url(f"{paths[1]}/stage3"),
        "epoxy.report": site.on("POST", f"{paths[2]}/report", Reply(204)),
        "epoxy.allocate_k8s_token": site.url(f"{paths[3]}/extension/allocate_k8s_token"),
        "epoxy.bmc_store_password": site.url(f"{paths[4]}/extension/bmc_store_password?p={WORD}"),
    }
    text = first.body.decode()
    values = {"{cmdline}": str(machine.options.cmdline), "{token}": TOKEN, "{id}": IDS[0]}
    values["{bmc}"] = machine.kargs["epoxy.bmc_store_password"]
    headers = dict(first.headers)
    for name, value in values.items():
        text = text.replace(name, value)
        headers = {key: old.replace(name, value) for key, old in headers.items()}
    site.on("POST", f"{paths[0]}/stage2", Reply(first.status, text.encode(), headers))

    assert machine.boot() == client.FAILED
    assert machine.boot(dry_run=True) in (client.DONE, client.FAILED)

    printed = capfd.readouterr()
    told = site.of("POST", f"{paths[2]}/report")
    assert len(told) == 1 and told[0].form["message"].startswith("error: ")
    everything = printed.out + printed.err + json.dumps(told[0].form)
    for secret in (*IDS, TOKEN.split(".")[1], WORD):
        assert secret not in everything


def test_a_key_that_a_document_adds_is_a_secret_too(
    site: Site, machine: Machine, capfd: pytest.CaptureFixture[str]
) -> None:
    machine.kargs["epoxy.stage1"] = site.url("/v1/boot/h/stage1.json")
    added = {"epoxy.report": site.on("POST", f"/v1/boot/h/{IDS[2]}/report", Reply(204))}
    v1 = {"commands": [["echo", "{{kargs `epoxy.report`}}", IDS[2]]]}
    site.on("POST", "/v1/boot/h/stage1.json", document({"kargs": added, "v1": v1}))
    assert machine.boot(action="epoxy.stage1", add_kargs=True) == client.DONE
    (told,) = site.of("POST", f"/v1/boot/h/{IDS[2]}/report")
    assert told.form["message"] == "success"
    assert IDS[2] not in capfd.readouterr().err + json.dumps(told.form)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://s.test/v1/boot/h/short/stage2 x", "https://s.test/v1/boot/h/…/stage2 x"),
        (f"token {TOKEN}.", "token abcdef.…."),
        (f'"token": "{WORD}"', '"token": "…"'),
        ("Authorization: Bearer abc.def", "Authorization: Bearer …"),
        ("https://u:p@s.test/x", "https://…@s.test/x"),
        ("https://s.test/x?p=q&r=s#t", "https://s.test/x?…#t"),
        ("password=hunter2;", "password=…;"),
        ("-----BEGIN RSA PRIVATE " + "KEY-----\nabc\n-----END RSA PRIVATE KEY-----\nx", "…\nx"),
        ("nothing.secret here v1.2.3 192.0.2.1", "nothing.secret here v1.2.3 192.0.2.1"),
    ],
)
def test_secrets_are_known_by_their_form(text: str, expected: str) -> None:
    assert redact.redactor(())(text) == expected


def test_ids_are_found_wherever_they_stand_in_a_url() -> None:
    kargs = {"a": f"https://s.test/other/{IDS[0]}/x", "b": "https://s.test/v1/boot/h/short/stage2", "c": IDS[1]}
    assert redact.secrets(kargs) == (IDS[0], "short")
    assert redact.redactor(redact.secrets(kargs))(f"{IDS[0]} short") == "… …"


def test_the_log_keeps_its_end_and_shows_no_control_characters() -> None:
    stream = io.StringIO()
    log = journal.Journal(lambda text: text, stream)
    log.line("\x1b[2J first\r\nsecond")
    assert "\x1b" not in stream.getvalue() and stream.getvalue().count("\n") == 1
    for number in range(2000):
        log.line(f"line {number} é")
    tail = log.tail()
    assert len(tail.encode()) <= journal.TAIL_BYTES and tail.endswith("line 1999 é\n") and "line 0 " not in tail
    log.line("x" * 10_000)
    assert len(log.tail().splitlines()[-1]) < 2100


def test_a_console_that_went_away_does_not_stop_a_boot() -> None:
    stream = io.StringIO()
    stream.close()
    log = journal.Journal(lambda text: text, stream)
    log.line("still here")
    assert "still here" in log.tail()


def test_a_report_that_would_be_too_long_loses_its_document_and_keeps_message_and_log() -> None:
    form = report.body("error: x", "c" * report.MAX_BYTES, "{}", "log")
    assert len(form) < report.MAX_BYTES
    assert b"message=error" in form and b"log.tail=log" in form and b"debug.config" not in form
