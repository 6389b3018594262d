"""What is PostgreSQL's alone: its URL, a server that goes away and comes back, and the whole service on it."""

from __future__ import annotations

import itertools
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from services.epoxy import postgres_connections, postgres_schema, store
from tests import epoxy_service, waiting
from tests.epoxy import machine
from tests.epoxy_store import server
from tests.epoxy_store.values import desired

pytestmark = pytest.mark.xdist_group("epoxy-store")
NAME = epoxy_service.name(1)
_numbers = itertools.count()


@pytest.fixture
def url(postgresql: server.Server) -> str:
    return postgresql.database(f"p{next(_numbers)}")


@pytest.fixture
def own() -> Iterator[server.Server]:
    """A server of the test's own, for what stops it."""
    made = server.new()
    try:
        yield made
    finally:
        if made.process is not None:
            made.halt(signal.SIGCONT)
        made.remove()


def test_a_password_in_the_url_is_refused_and_not_repeated() -> None:
    word = "told-in-confidence"
    for text in (f"postgresql://epoxy:{word}@db/epoxy", f"postgresql://db/epoxy?password={word}"):
        with pytest.raises(ValueError, match="PGPASSFILE") as refused:
            store.connect(text)
        assert word not in str(refused.value)


@pytest.mark.parametrize("text", ["postgresql://[::1/epoxy", "postgresql://db/epoxy?nonsense=1"])
def test_a_url_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="--store"):
        store.connect(text)


def test_a_server_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(store.StoreError, match=r"^PostgreSQL: .*No such file or directory[^\n]*$"):
        store.connect(f"postgresql://nobody@/epoxy?host={tmp_path}")


def test_a_newer_schema_is_left_alone(url: str) -> None:
    store.connect(url).close()
    with psycopg.connect(url, options="-c search_path=epoxy") as db:
        db.execute("UPDATE version SET number = 99")
    with pytest.raises(store.StoreError, match=f"schema 99 is newer than {postgres_schema.VERSION}"):
        store.connect(url)


def test_an_error_of_the_server_tells_no_value(url: str) -> None:
    hosts = store.connect(url)
    with psycopg.connect(url, options="-c search_path=epoxy") as db:
        db.execute("ALTER TABLE desired ADD CONSTRAINT none CHECK (name = '')")
    with pytest.raises(store.StoreError) as refused:
        hosts.put(desired(), expected=None)
    assert NAME not in str(refused.value) and "\n" not in str(refused.value)
    assert hosts.get(NAME) is None
    hosts.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT], ids=["stopped", "crashed"])
def test_a_server_that_goes_away_is_an_error_and_one_that_comes_back_is_used(
    own: server.Server, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_connections, "WAIT_S", 5.0)
    hosts = store.connect(own.database("epoxy"))
    made = hosts.put(desired(), expected=None)
    own.stop(number)
    for _ in range(2):
        with pytest.raises(store.StoreError, match=r"^PostgreSQL: "):
            hosts.get(NAME)
    own.start()

    def answers() -> bool:
        try:
            hosts.check()
        except store.StoreError:
            return False
        return True

    waiting.until(answers, "the store answers")
    assert hosts.get(NAME) == made
    assert hosts.put(desired(ImagesVersion="v2"), expected=made.revision).revision > made.revision
    hosts.close()


def test_a_server_that_hangs_is_not_waited_for_without_end(own: server.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_connections, "WAIT_S", 5.0)
    hosts = store.connect(own.database("epoxy"))
    made = hosts.put(desired(), expected=None)
    for name, seconds in (("TOTAL_S", 0.5), ("CONNECT_S", 2)):
        monkeypatch.setattr(postgres_connections, name, seconds)
    # Within a transaction, whose connection was found sound, and before one.
    with pytest.raises(store.StoreError):
        hosts.change_lock("sandbox/epoxy", lambda current: own.halt(signal.SIGSTOP))
    with pytest.raises(store.StoreError):
        hosts.get(NAME)
    own.halt(signal.SIGCONT)

    def answers() -> bool:
        try:
            return hosts.get(NAME) == made
        except store.StoreError:
            return False

    waiting.until(answers, "the store answers")
    hosts.close()


def test_two_services_on_one_database_carry_one_boot_between_them(url: str, tmp_path: Path) -> None:
    """Each request goes to the other of two servers, and one of them is killed in the middle."""
    services = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        made = epoxy_service.Service(tmp_path / name, *machine.PROXY)
        made.store_url = url
        services.append(made.start())
    first, second = services
    try:
        host = machine.made(first)
        assert host.stage1().status_code == 200
        first.kill()
        host.service = second
        assert [host.ask("stage2").status_code, host.ask("stage3").status_code] == [200, 200]
        host.service = first.start()
        assert host.ask("stage2").status_code == 403
        assert host.report().status_code == 204
        seen = second.call("GET", f"/admin/v1/hosts/{host.name}").json()["observed"]
        assert seen["LastSuccess"] >= seen["LastSessionCreation"] > "2026"
        with psycopg.connect(url, options="-c search_path=epoxy") as db:
            everything = str([db.execute(f"SELECT * FROM {table}").fetchall() for table in ("observed", "boot")])
        ids = [part for path in host.urls.values() for part in re.findall(r"[\w-]{27}", path)]
        assert len(set(ids)) >= 3 and not [one for one in ids if one in everything]
    finally:
        for one in services:
            one.kill()
