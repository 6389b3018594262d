"""The provider and BIND: what a run writes, what it never touches, and what the server refuses."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import dns.message
import dns.query
import pytest
from msgspec import structs

from reconcilers.core import engine
from reconcilers.core.errors import Conflict, Permanent, Refused, Temporary
from reconcilers.core.model import Action, Id, Owner, Resource, Result, Risk
from reconcilers.core.provider import Context
from reconcilers.providers.dns import records
from reconcilers.providers.dns import update as dns_update
from reconcilers.providers.dns.answers import Answers
from reconcilers.providers.dns.lock import ScopeLock
from reconcilers.providers.dns.provider import Dns
from reconcilers.providers.dns.records import RecordSet, Swap
from reconcilers.providers.time_limits import Limits
from tests.conformance import suite
from tests.dns import servers
from tests.dns.servers import PARENT, ZONE
from tests.dns.test_conformance import FIRST, SCOPE, record
from tests.faultproxy import closed_port

HASTE = Limits(connect_s=2.0, read_s=0.3, total_s=2.0)


def provider(server: servers.NameServer) -> Dns:
    return Dns(SCOPE, (PARENT, ZONE), server.backend())


def applied(server: servers.NameServer, desired: Sequence[Resource]) -> engine.ScopeResult:
    result = suite.apply(provider(server), desired)
    assert not result.failed and not result.refused, result
    return result


def test_a_serial_goes_up_with_each_apply_and_stands_still_without_changes(server: servers.NameServer) -> None:
    applied(server, FIRST)
    first = server.serial()
    applied(server, FIRST)
    assert server.serial() == first
    applied(server, FIRST[1:])
    assert server.serial() > first


def test_locks_are_gone_after_an_apply(server: servers.NameServer) -> None:
    applied(server, FIRST)
    assert not servers.locks(server.contents()) and not servers.locks(server.contents(PARENT))


def test_an_alias_becomes_an_address_in_one_step(server: servers.NameServer) -> None:
    applied(server, FIRST)
    seen: set[bool] = set()
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            query = dns.message.make_query(f"was-alias.{ZONE}", "A", flags=0)
            answer = dns.query.tcp(query, "127.0.0.1", port=server.port, timeout=60)
            seen.add(bool(answer.answer))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        applied(server, [*FIRST[:3], record("A", "was-alias", "192.0.2.4", file="zones/p")])
    finally:
        stop.set()
        watcher.join()
    assert seen == {True}


def test_an_alias_of_somebody_elses_blocks_an_address(server: servers.NameServer) -> None:
    server.put("theirs", "CNAME", "elsewhere.example.")
    made = suite.plan(provider(server), [record("A", "theirs", "192.0.2.4"), *FIRST])
    (change,) = [c for c in made.changes if c.id.name.endswith("/theirs")]
    assert change.impossible and change.blocked and "an alias stands alone" in change.blocked
    result = suite.apply(provider(server), [record("A", "theirs", "192.0.2.4"), *FIRST])
    assert server.contents()[f"theirs.{ZONE}", "CNAME"].values == ("elsewhere.example.",)
    assert sum(o.result is Result.APPLIED for o in result.outcomes) == len(FIRST)


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        (record("NS", "@", "ns1.example."), "made by whoever serves it"),
        (record("SOA", "@", "a. b. 1 2 3 4 5"), "made by whoever serves it"),
        (record("TXT", "a.sandbox._mlab-owner", '"x"'), "keeps its own records"),
        (record("TXT", "sandbox._mlab-lock", '"x"'), "keeps its own records"),
    ],
)
def test_what_is_not_gits_to_say_is_blocked(server: servers.NameServer, wanted: Resource, why: str) -> None:
    made = suite.plan(provider(server), [wanted, *FIRST])
    (change,) = [c for c in made.changes if c.id == wanted.id]
    assert change.impossible and why in str(change.blocked)


def test_a_name_outside_of_the_scopes_zones_ends_the_plan_with_its_id(server: servers.NameServer) -> None:
    made = suite.plan(provider(server), [record("A", "x", "192.0.2.1", zone="other.test")])
    assert not made.complete and "A/other.test/x is in no zone of targets.dns.zones" in made.problems[0]


def test_a_delegation_has_the_name_of_the_zone_below_it(server: servers.NameServer) -> None:
    delegation = record("NS", "mlab-sandbox", "ns1.example.", "ns2.example.", zone=PARENT, file="zones/primary")
    glue = record("A", "ns.mlab-sandbox", "192.0.2.53", zone=PARENT, file="zones/primary")
    applied(server, [delegation, glue, *FIRST])
    assert suite.summary(suite.plan(provider(server), [delegation, glue, *FIRST])) == []
    other = structs.replace(delegation, spec={"ttl": 300, "rrdatas": ["ns3.example."]})
    made = suite.plan(provider(server), [other, glue, *FIRST])
    assert [c.risk for c in made.changes] == [Risk.DESTRUCTIVE]


@pytest.mark.parametrize(
    ("wanted", "risk"),
    [
        (record("A", "mlab1-a", "192.0.2.9"), Risk.DISRUPTIVE),
        (record("A", "mlab1-a", "192.0.2.1", ttl=301), Risk.SAFE),
    ],
)
def test_another_value_is_disruptive_another_time_to_live_is_not(
    server: servers.NameServer, wanted: Resource, risk: Risk
) -> None:
    applied(server, FIRST)
    made = suite.plan(provider(server), [wanted, *FIRST[1:]])
    assert [(c.action, c.risk) for c in made.changes] == [(Action.UPDATE, risk)]


def test_what_somebody_deleted_and_git_no_longer_wants_is_struck_off_the_list(server: servers.NameServer) -> None:
    applied(server, FIRST)
    server.put("gone-a", "A")
    left = [r for r in FIRST if not r.id.name.endswith("/gone-a")]
    made = suite.plan(provider(server), left)
    assert [(c.action, c.id.name) for c in made.changes] == [(Action.DELETE, f"{ZONE}/gone-a")]
    applied(server, left)
    server.put("gone-a", "A", "192.0.2.250")
    assert suite.summary(suite.plan(provider(server), left)) == []


def test_a_protected_record_set_stays_until_the_mark_is_off(server: servers.NameServer) -> None:
    kept = structs.replace(FIRST[2], protect=True)
    applied(server, [*FIRST[:2], kept])
    result = suite.apply(provider(server), FIRST[:2])
    assert [o.result for o in result.outcomes] == [Result.BLOCKED]
    applied(server, FIRST[:3])
    applied(server, FIRST[:2])
    assert (f"gone-a.{ZONE}", "A") not in server.contents()


def test_a_mark_of_another_environment_is_respected(server: servers.NameServer) -> None:
    others = Dns("production/dns", (ZONE,), server.backend())
    result = suite.apply(others, FIRST[:2])
    assert not result.failed
    made = suite.plan(provider(server), FIRST)
    blocked = {str(c.id): c for c in made.changes if c.blocked}
    assert set(blocked) == {str(r.id) for r in FIRST[:2]}
    assert all("another owner manages it: mlab (production" in str(c.blocked) for c in blocked.values())


def test_a_whole_site_comes_and_goes_with_everything_of_it(server: servers.NameServer) -> None:
    site = [
        record(kind, f"e{e}-mlab{m}-big01", value.format(m=m, e=e), file="sites/big01")
        for m in range(4)
        for e in range(100)
        for kind, value in (("A", "10.{m}.0.{e}"), ("AAAA", "2001:db8::{m}:{e}"))
    ]
    serial = server.serial()
    result = applied(server, site)
    assert len(result.outcomes) == 800
    transactions = server.serial() - serial
    assert transactions < 12, "a record set must not be a transaction of its own"
    assert suite.summary(suite.plan(provider(server), site)) == []
    applied(server, site[:1])
    assert len(servers.owned(server.contents())) == 2


def test_a_write_after_the_lock_was_taken_over_is_refused_by_the_server(server: servers.NameServer) -> None:
    late = ScopeLock(server.backend(), (ZONE,), SCOPE, suite.holder("run-late"), 0.05)
    server.put("sandbox._mlab-lock", "TXT")
    ScopeLock(server.backend(), (ZONE,), SCOPE, suite.holder("run-new"), 60)
    key = (f"x.{ZONE}", "A")
    with pytest.raises(Refused, match="taken over by run-new"):
        late.zones[ZONE].swap([Swap(key, None, RecordSet(300, ("192.0.2.1",)))])
    assert key not in server.contents()


def test_a_lock_that_was_removed_stops_its_holder(server: servers.NameServer) -> None:
    lock = ScopeLock(server.backend(), (ZONE,), SCOPE, suite.holder("run-a"), 60)
    provider(server).unlock("run-a")
    with pytest.raises(Refused, match="was removed"):
        lock.renew()


def test_of_many_takers_of_a_lock_one_has_it(server: servers.NameServer) -> None:
    taken: list[str] = []
    barrier = threading.Barrier(6)

    def take(name: str) -> None:
        barrier.wait()
        try:
            ScopeLock(server.backend(), (PARENT, ZONE), SCOPE, suite.holder(name), 60)
        except Refused:
            return
        taken.append(name)

    threads = [threading.Thread(target=take, args=(f"run-{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 1


def test_writing_without_the_lock_is_a_refusal(server: servers.NameServer) -> None:
    one = provider(server)
    changes = suite.plan(one, FIRST).changes
    context = Context(lambda change: Owner("mlab", "sandbox", SCOPE, "x"), lambda point: None, lambda: None)
    with pytest.raises(Permanent, match="without its lock"):
        one.apply(changes[:1], context)


def test_swaps_of_a_transaction_hold_all_or_none(server: servers.NameServer) -> None:
    backend = server.backend()
    server.put("there", "A", "192.0.2.1")
    there, new = (f"there.{ZONE}", "A"), (f"new.{ZONE}", "A")
    value = RecordSet(300, ("192.0.2.2",))
    for stale in (None, RecordSet(300, ("192.0.2.9",)), RecordSet(300, ("192.0.2.1", "192.0.2.9"))):
        with pytest.raises(Conflict, match="RRSET"):
            backend.swap(ZONE, [Swap(new, None, value), Swap(there, stale, value)])
    with pytest.raises(Conflict, match="RRSET"):
        backend.swap(ZONE, [Swap(new, None, value), Swap(there, value, value)])
    assert new not in server.contents()
    before = RecordSet(300, ("192.0.2.1",))
    backend.swap(ZONE, [Swap(new, None, value), Swap(there, before, before)])
    assert server.contents()[new] == value


def test_a_wrong_key_an_unknown_one_and_no_zone_each_have_a_sentence(
    server: servers.NameServer, tmp_path: Path
) -> None:
    def keyed(name: str, secret: str) -> dns_update.UpdateServer:
        path = tmp_path / name
        path.write_text(f'key "{name}" {{ algorithm hmac-sha256; secret "{secret}"; }};\n')
        return server.backend(key=f"file:{path}")

    for backend in (keyed("mlab", "AAAA"), keyed("stranger", "AAAA")):
        for call in (
            lambda b=backend: b.read(ZONE),
            lambda b=backend: b.get(ZONE, (ZONE, "SOA")),
            lambda b=backend: b.swap(ZONE, [Swap((f"x.{ZONE}", "A"), None, RecordSet(1, ("192.0.2.1",)))]),
        ):
            with pytest.raises(Permanent, match="check the key"):
                call()
    for ask in (lambda: server.backend().read("nowhere.test"), lambda: server.backend().swap("nowhere.test", [])):
        with pytest.raises(Permanent, match="does not serve this zone"):
            ask()


@pytest.mark.parametrize("content", ["", "s3cr3t", 'key "a" { algorithm md5; };', 'key "a" { secret "!!"; };'])
def test_a_file_that_is_no_key_is_not_shown(tmp_path: Path, content: str) -> None:
    path = tmp_path / "key"
    path.write_text(content)
    with pytest.raises(Permanent) as refused:
        dns_update.read_key(f"file:{path}")
    assert content not in str(refused.value) or not content


@contextmanager
def deaf(server: servers.NameServer, *, answers: int) -> Iterator[str]:
    """Passes what it gets on to the server, and its answers back for so many connections; then it swallows them."""
    left = [answers]
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client, socket.create_connection(("127.0.0.1", server.port)) as upstream:
                client.settimeout(5)
                upstream.settimeout(5)
                size = client.recv(2, socket.MSG_WAITALL)
                upstream.sendall(size + client.recv(int.from_bytes(size), socket.MSG_WAITALL))
                size = upstream.recv(2, socket.MSG_WAITALL)
                answer = upstream.recv(int.from_bytes(size), socket.MSG_WAITALL)
                left[0] -= 1
                if left[0] >= 0:
                    client.sendall(size + answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


@pytest.mark.parametrize("heard", range(2, 11))
def test_an_answer_that_is_lost_is_neither_a_loss_nor_written_twice(server: servers.NameServer, heard: int) -> None:
    zone = [record("A", f"host{n}", f"192.0.2.{n}", file=f"sites/{n}") for n in range(3)]
    with deaf(server, answers=heard) as where:
        one = Dns(SCOPE, (ZONE,), server.backend(server=where, ask=[("127.0.0.1", server.port)], bounds=HASTE))
        result = suite.apply(one, zone)
        assert result.plan.complete or result.error
    provider_ = provider(server)
    again = suite.apply(provider_, zone)
    if again.refused:
        provider_.unlock(suite.holder().identity)
        again = suite.apply(provider_, zone)
    assert not again.failed, again
    assert servers.owned(server.contents())["lists"].keys() == {
        f"{n}.sites.sandbox._mlab-owner.{ZONE}" for n in range(3)
    }
    assert suite.summary(suite.plan(provider(server), zone)) == []


def test_servers_are_asked_for_what_changed_and_what_did_not(server: servers.NameServer) -> None:
    applied(server, FIRST)
    answers = Answers(server.backend())
    key = (f"mlab1-a.{ZONE}", "A")
    answers.expect(ZONE, key, RecordSet(300, ("192.0.2.99",)))
    assert "answered with 192.0.2.1" in answers.missing(ZONE, key)
    answers.expect(ZONE, key, RecordSet(300, ("192.0.2.1",)))
    assert not answers.ask_open()
    answers.expect(ZONE, key, None, gone=RecordSet(300, ("192.0.2.1",)))
    assert "still answered" in answers.ask_open()[ZONE, key]
    (wrong,) = answers.compare(ZONE, {key: RecordSet(301, ("192.0.2.1",))})
    assert "time to live 300 s" in wrong


def test_a_server_that_lags_behind_is_waited_for_and_named(server: servers.NameServer) -> None:
    silent = ("127.0.0.1", closed_port())
    one = Dns(SCOPE, (ZONE,), server.backend(ask=[("127.0.0.1", server.port), silent]))
    result = suite.apply(one, FIRST[:1], chosen=suite.options(health_timeout_s=0.3))
    (outcome,) = result.outcomes
    assert outcome.result is Result.FAILED_PERMANENT and f"{silent[0]}:{silent[1]}" in outcome.error


def test_a_wildcard_does_not_pass_for_what_was_deleted(server: servers.NameServer) -> None:
    server.put("*", "A", "192.0.2.123")
    applied(server, FIRST)
    applied(server, FIRST[:2])
    assert (f"*.{ZONE}", "A") in server.contents()


def test_foreign_record_sets_of_any_type_stay(server: servers.NameServer) -> None:
    theirs = {
        ("mail", "MX"): ("10 mail.example.",),
        ("_sip._tcp", "SRV"): ("1 2 5060 sip.example.",),
        ("key", "SSHFP"): ("1 1 123456789abcdef67890123456789abcdef67890",),
        ("odd\\032name", "TXT"): ('"quote \\" and \\200"',),
        ("raw", "TYPE65280"): ("\\# 3 abcdef",),
    }
    for (name, kind), values in theirs.items():
        server.put(name, kind, *values)
    before = server.contents()
    applied(server, FIRST)
    applied(server, FIRST[1:])
    after = server.contents()
    assert {key: after[key] for key in before} == before


def test_a_shuffled_desired_state_gives_the_same_plan(server: servers.NameServer) -> None:
    applied(server, FIRST[:2])
    shuffled = list(FIRST)
    random.Random(7).shuffle(shuffled)
    assert suite.summary(suite.plan(provider(server), shuffled)) == suite.summary(suite.plan(provider(server), FIRST))


def test_a_closed_server_is_temporary(server: servers.NameServer) -> None:
    backend = server.backend(server=f"127.0.0.1:{closed_port()}")
    for call in (lambda: backend.read(ZONE), lambda: backend.get(ZONE, (ZONE, "SOA")), lambda: backend.swap(ZONE, [])):
        with pytest.raises(Temporary, match="Connection refused"):
            call()


def test_ids_say_zone_and_name() -> None:
    assert records.place(Id("A", f"{ZONE}/@")) == (ZONE, (ZONE, "A"))
