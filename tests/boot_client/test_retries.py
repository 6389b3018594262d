"""When the server is slow, down, wrong or against it: what is repeated, how long is waited, and what it ends with."""

from __future__ import annotations

import email.utils
import hashlib
import json
import time
from typing import Any

import pytest

from node.boot import backoff, client, evaluate, transfer
from tests.boot_client.authority import Authority
from tests.boot_client.bootserver import Reply, Server, Site, document, file
from tests.boot_client.conftest import ID, Machine

STAGE, REPORT = f"/v1/boot/h/{ID}/stage2", f"/v1/boot/h/{ID}/report"
NOTHING = document({"v1": {}})


@pytest.fixture
def booting(site: Site, machine: Machine) -> Site:
    machine.kargs["epoxy.stage2"] = site.on("POST", STAGE, NOTHING)
    machine.kargs["epoxy.report"] = site.on("POST", REPORT, Reply(204))
    return site


def messages(site: Site) -> list[str]:
    return [one.form["message"] for one in site.of("POST", REPORT)]


@pytest.mark.parametrize(
    "reply",
    [
        Reply(500),
        Reply(502, b"bad gateway"),
        Reply(429),
        Reply(200, b"{"),
        Reply(200, b"{}"),
        Reply(204),
        Reply(307, headers={"Location": "/elsewhere"}),
        document({"v1": {"vars": {"a": "{{if}}"}}}),
        Reply(200, b'{"v1": {}}', cut_at=4),
    ],
)
def test_a_failed_ask_is_reported_and_repeated(booting: Site, machine: Machine, reply: Reply) -> None:
    booting.on("POST", STAGE, reply, reply, NOTHING)
    assert machine.boot(retry=True) == client.DONE
    assert [message.partition(":")[0] for message in messages(booting)] == ["error", "error", "success"]
    first, second = machine.pauses
    assert 0.5 <= first <= 1.0 <= second <= 2.0


def test_the_servers_wish_is_the_least_that_is_waited(booting: Site, machine: Machine) -> None:
    booting.on("POST", STAGE, Reply(503, headers={"Retry-After": "40"}), NOTHING)
    assert machine.boot(retry=True) == client.DONE
    assert 40 <= machine.pauses[0] <= 40.5


def test_what_should_not_happen_is_reported_with_its_trace_and_repeated(
    booting: Site, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = evaluate.commands, 0

    def broken(*given: Any) -> object:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RuntimeError(f"at {machine.kargs['epoxy.stage2']}")
        return real(*given)

    monkeypatch.setattr(evaluate, "commands", broken)
    assert machine.boot(retry=True) == client.DONE
    first, second = booting.of("POST", REPORT)
    assert first.form["message"].startswith("error: unexpected: RuntimeError: at https://")
    assert "Traceback" in first.form["log.tail"] and ID not in str(first.form)
    assert second.form["message"] == "success"


def test_without_retry_one_failure_ends_it(booting: Site, machine: Machine) -> None:
    booting.on("POST", STAGE, Reply(500))
    assert machine.boot() == client.FAILED
    assert (len(booting.of("POST", STAGE)), machine.pauses) == (1, [])


def test_it_gives_up_when_its_time_is_over(booting: Site, machine: Machine) -> None:
    booting.on("POST", STAGE, Reply(500))
    assert machine.boot(retry=True, retry_for_s=0.4) == client.FAILED
    assert messages(booting)[-1].startswith("error: ")


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_session_that_is_over_ends_the_boot_after_three_refusals(
    booting: Site, machine: Machine, status: int
) -> None:
    booting.on("POST", STAGE, Reply(status, b"Given session ID does not match host record\n"))
    assert machine.boot(retry=True) == client.OVER
    assert len(booting.of("POST", STAGE)) == client.MAX_REFUSALS


def test_refusals_of_a_file_do_not_end_the_boot(booting: Site, machine: Machine) -> None:
    v1 = {"files": {"f": {"url": booting.on("GET", "/f", *[Reply(404)] * 4, file(b"x"))}}}
    booting.on("POST", STAGE, document({"v1": v1}))
    assert machine.boot(retry=True) == client.DONE
    assert len(machine.pauses) == 4


def test_two_refusals_and_then_an_answer_are_forgiven(booting: Site, machine: Machine) -> None:
    replies = [Reply(403), Reply(403), Reply(500), Reply(403), Reply(403), NOTHING]
    booting.on("POST", STAGE, *replies)
    assert machine.boot(retry=True) == client.DONE


def test_success_is_reported_until_the_server_takes_it(booting: Site, machine: Machine) -> None:
    booting.on("POST", REPORT, Reply(500), Reply(503, headers={"Retry-After": "2"}), Reply(204))
    assert machine.boot() == client.DONE
    assert messages(booting) == ["success"] * 3
    assert machine.pauses[1] >= 2


def test_a_report_that_cannot_be_sent_changes_nothing(booting: Site, machine: Machine) -> None:
    booting.on("POST", REPORT, Reply(404))
    assert machine.boot() == client.DONE
    del machine.kargs["epoxy.report"]
    assert machine.boot() == client.DONE


def test_a_chain_is_followed_and_only_its_last_document_counts(booting: Site, machine: Machine) -> None:
    mark = machine.folder / "mark"
    last = booting.on("GET", "/last", document({"v1": {"commands": [["touch", str(mark)]]}}))
    middle = {"kargs": {"ignored": "x"}, "v1": {"chain": last, "commands": [["false"]]}}
    booting.on("POST", STAGE, document({"v1": {"chain": booting.on("GET", "/middle", document(middle))}}))
    assert machine.boot(add_kargs=True) == client.DONE
    assert mark.exists()
    assert "ignored" not in json.loads(booting.of("POST", REPORT)[0].form["debug.config"])["kargs"]


def test_a_chain_may_have_ten_documents_and_not_eleven(booting: Site, machine: Machine) -> None:
    for last, status in ((10, client.DONE), (11, client.FAILED)):
        for number in range(1, last):
            booting.on("GET", f"/{number}", document({"v1": {"chain": booting.url(f"/{number + 1}")}}))
        booting.on("GET", f"/{last}", NOTHING)
        booting.on("POST", STAGE, document({"v1": {"chain": booting.url("/1")}}))
        assert machine.boot() == status
    assert "longer than 10 documents" in messages(booting)[-1]


def test_a_chain_that_leads_back_to_itself_is_named_at_once(booting: Site, machine: Machine) -> None:
    booting.on("GET", "/a", document({"v1": {"chain": booting.url("/b")}}))
    booting.on("GET", "/b", document({"v1": {"chain": booting.url("/a")}}))
    booting.on("POST", STAGE, document({"v1": {"chain": booting.url("/a")}}))
    assert machine.boot() == client.FAILED
    assert "leads back to itself" in messages(booting)[0]
    assert len(booting.of("GET", "/a")) == 1


@pytest.mark.parametrize("right", [True, False])
def test_a_chain_with_a_hash_leads_to_that_document_alone(booting: Site, machine: Machine, *, right: bool) -> None:
    body = json.dumps({"v1": {}}).encode()
    sha256 = hashlib.sha256(body if right else b"another").hexdigest()
    chain = {"chain": booting.on("GET", "/next", Reply(200, body)), "chain_sha256": sha256}
    booting.on("POST", STAGE, document({"v1": chain}))
    assert machine.boot() == (client.DONE if right else client.FAILED)
    assert right or "checksum mismatch" in messages(booting)[0]


def test_a_document_does_not_come_from_another_server(booting: Site, machine: Machine, authority: Authority) -> None:
    other = Server(authority.leaf("other-documents"))
    try:
        elsewhere = other.site()
        mark = machine.folder / "mark"
        away = elsewhere.on("GET", "/evil", document({"v1": {"commands": [["touch", str(mark)]]}}))
        booting.on("GET", "/next", Reply(302, headers={"Location": away}))
        booting.on("POST", STAGE, document({"v1": {"chain": booting.url("/next")}}))
        assert machine.boot() == client.FAILED
        assert "redirects to another server" in messages(booting)[0]
        assert not mark.exists() and elsewhere.asked == []
    finally:
        other.close()


def test_a_document_may_have_moved_on_its_server(booting: Site, machine: Machine) -> None:
    booting.on("GET", "/next", Reply(301, headers={"Location": booting.prefix + "/moved"}))
    booting.on("GET", "/moved", NOTHING)
    booting.on("POST", STAGE, document({"v1": {"chain": booting.url("/next")}}))
    assert machine.boot() == client.DONE


def test_an_endless_document_is_left_at_its_limit(booting: Site, machine: Machine) -> None:
    booting.on("POST", STAGE, Reply(200, b" " * (2 * 1024 * 1024)))
    assert machine.boot() == client.FAILED
    assert "more than 1048576 bytes" in messages(booting)[0]


def test_an_answer_that_trickles_is_left_when_its_time_is_over(
    booting: Site, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.boot.transfer.REQUEST_S", 0.3)
    real = transfer.network
    monkeypatch.setattr(transfer, "network", lambda ca: real(ca)._replace(request_s=0.3))
    booting.on("POST", STAGE, Reply(200, b'{"v1": {}}' + b" " * 2000, pause_s=0.05))
    start = time.monotonic()
    assert machine.boot() == client.FAILED
    assert time.monotonic() - start < 50  # the whole would take 100


def test_an_action_may_be_a_file_and_then_nothing_is_asked(booting: Site, machine: Machine) -> None:
    mark = machine.folder / "mark"
    (machine.folder / "next.json").write_text(json.dumps({"v1": {"commands": [["touch", str(mark)]]}}))
    (machine.folder / "action.json").write_text(json.dumps({"v1": {"chain": f"file://{machine.folder}/next.json"}}))
    machine.kargs["epoxy.stage2"] = f"file://{machine.folder}/action.json"
    assert machine.boot() == client.DONE
    assert mark.exists() and booting.of("POST", STAGE) == []
    machine.kargs["epoxy.stage2"] = f"file://{machine.folder}/missing.json"
    assert machine.boot() == client.FAILED


@pytest.mark.parametrize("add", [True, False])
def test_keys_of_the_first_document_join_the_command_line_if_wished(
    booting: Site, machine: Machine, *, add: bool
) -> None:
    out = machine.folder / "out"
    machine.kargs["epoxy.project"] = "mine"
    v1 = {"commands": [["sh", "-c", f'echo "$0" > {out}', "{{kargs `epoxy.project`}} {{kargs `epoxy.extra`}}"]]}
    booting.on("POST", STAGE, document({"kargs": {"epoxy.project": "theirs", "epoxy.extra": "more"}, "v1": v1}))
    assert machine.boot(add_kargs=add) == client.DONE
    assert out.read_text() == ("mine more\n" if add else "mine \n")


def test_a_dry_run_prints_what_would_be_done_and_does_nothing(
    booting: Site, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    mark = machine.folder / "mark"
    files = {"f": {"url": booting.url("/f")}}
    v1 = {"files": files, "env": {"A": "b"}, "commands": [["touch", str(mark)], ["cat", "{{.files.f.name}}"]]}
    booting.on("POST", STAGE, document({"v1": v1}))
    assert machine.boot(dry_run=True) == client.DONE
    printed = json.loads(capsys.readouterr().out)
    assert printed["v1"]["commands"][0] == ["touch", str(mark)]
    assert printed["v1"]["commands"][1] == ["cat", printed["v1"]["files"]["f"]["name"]]
    assert not mark.exists() and booting.of("GET", "/f") == [] and booting.of("POST", REPORT) == []
    booting.on("POST", STAGE, Reply(500))
    assert machine.boot(dry_run=True, retry=True) == client.FAILED
    assert booting.of("POST", REPORT) == [] and machine.pauses == []


def test_waits_double_to_their_limit_and_are_drawn_between_half_and_whole() -> None:
    waits = backoff.Waits(2.0, 60.0)
    whole = [backoff.wait_s(waits, failures, None, draw=1.0) for failures in range(1, 9)]
    assert whole == [2, 4, 8, 16, 32, 60, 60, 60]
    assert [backoff.wait_s(waits, failures, None, draw=0.0) for failures in (1, 6, 10_000)] == [1, 30, 30]
    drawn = {backoff.wait_s(waits, 6, None) for _ in range(100)}
    assert len(drawn) > 50 and all(30 <= wait <= 60 for wait in drawn)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("0", 0.0),
        (" 120 ", 120.0),
        ("9" * 400, 999_999_999.0),
        ("", None),
        (None, None),
        ("-5", None),
        ("soon", None),
        ("1.5", None),
        ("١٢", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 99 Foo 2015 07:28:00 GMT", None),
    ],
)
def test_retry_after_is_read_in_both_forms_and_nonsense_is_nothing(header: str | None, expected: float | None) -> None:
    assert backoff.retry_after_s(header) == expected


def test_retry_after_may_be_a_date_and_is_waited_ten_minutes_at_most() -> None:
    soon = email.utils.formatdate(time.time() + 30, usegmt=True)
    found = backoff.retry_after_s(soon)
    assert found is not None and 28 <= found <= 30
    assert backoff.wait_s(backoff.Waits(1, 60), 1, 1e9, draw=0.0) == backoff.MAX_RETRY_AFTER_S
