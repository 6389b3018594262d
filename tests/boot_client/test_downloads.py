"""Downloads over a bad network and from bad servers: the bytes are right, or nobody gets them."""

from __future__ import annotations

import hashlib
import os
import random
from pathlib import Path

import pytest

from node.boot import download, transfer
from node.boot.errors import BadDocument, BootError, Refused, Temporary
from node.boot.evaluate import Wanted
from tests.boot_client.authority import Authority
from tests.boot_client.bootserver import Asked, Reply, Server, Site, file

BODY = random.Random(1).randbytes(3 * download.BUFFER_BYTES + 12345)
"""Longer than all buffers together hold at once."""
OTHER = BODY[:-1] + b"x"


class Fetch:
    """One download; what it says and its waits are kept."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.shelf = download.Shelf(folder)
        self.net = transfer.network(authority.file)
        self.said: list[str] = []
        self.pauses: list[float] = []

    def __call__(self, url: str, sha256: str | None = None) -> bytes:
        wanted = Wanted("image", url, hashlib.sha256(BODY).hexdigest() if sha256 is None else sha256)
        self.shelf.download(wanted).fetch(self.net, self.said.append, self.pauses.append)
        return self.shelf.path(wanted).read_bytes()


@pytest.fixture
def fetch(tmp_path: Path, authority: Authority) -> Fetch:
    return Fetch(tmp_path, authority)


def ranges(site: Site) -> list[str]:
    return [one.headers.get("range", "") for one in site.of("GET", "/f")]


def test_a_file_comes_whole_and_its_speed_is_said(site: Site, fetch: Fetch) -> None:
    assert fetch(site.on("GET", "/f", file(BODY))) == BODY
    assert fetch.said[-1].startswith(f"file image: {len(BODY)} bytes in ")
    assert fetch.said[-1].endswith("MB/s, sha256 verified")


def test_an_empty_file_is_a_file(site: Site, fetch: Fetch) -> None:
    assert fetch(site.on("GET", "/f", file(b"")), hashlib.sha256(b"").hexdigest()) == b""


def test_a_file_without_a_hash_is_taken_from_https_and_that_is_said(site: Site, fetch: Fetch) -> None:
    assert fetch(site.on("GET", "/f", file(BODY)), "") == BODY
    assert fetch.said[-1].endswith("sha256 not given")


@pytest.mark.parametrize("cut", [0, 1, 1000, download.BUFFER_BYTES, len(BODY) - 1])
def test_a_broken_download_goes_on_where_it_broke(site: Site, fetch: Fetch, cut: int) -> None:
    assert fetch(site.on("GET", "/f", file(BODY, cut_at=cut), file(BODY))) == BODY
    first, second = site.of("GET", "/f")
    assert "range" not in first.headers
    if cut:
        assert second.headers["range"] == f"bytes={cut}-"
        assert second.headers["if-range"] == file(BODY).etag
    assert len(fetch.pauses) == 1


def test_a_download_that_breaks_again_and_again_ends_as_long_as_something_comes(site: Site, fetch: Fetch) -> None:
    step = 200_000
    replies = [file(BODY, cut_at=step) for _ in range(len(BODY) // step)]
    assert fetch(site.on("GET", "/f", *replies, file(BODY))) == BODY
    assert ranges(site) == ["", *(f"bytes={step * number}-" for number in range(1, len(replies) + 1))]
    # Each brought something, so that waits do not grow.
    assert max(fetch.pauses) <= 0.25


def test_nothing_is_read_twice(site: Site, fetch: Fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed = 0

    class Counting:
        def __init__(self) -> None:
            self._real = hashlib._hashlib.openssl_sha256()  # type: ignore[attr-defined]

        def update(self, view: memoryview) -> None:
            nonlocal hashed
            hashed += len(view)
            self._real.update(view)

        def hexdigest(self) -> str:
            return str(self._real.hexdigest())

    expected = hashlib.sha256(BODY).hexdigest()
    monkeypatch.setattr("node.boot.download.hashlib.sha256", Counting)
    assert fetch(site.on("GET", "/f", file(BODY, cut_at=1_500_000), file(BODY)), expected) == BODY
    assert hashed == len(BODY)


@pytest.mark.parametrize("ranged", [True, False])
def test_a_file_that_changed_meanwhile_is_fetched_from_its_start(site: Site, fetch: Fetch, *, ranged: bool) -> None:
    changed = file(BODY, etag='"new"') if ranged else Reply(200, BODY)
    assert fetch(site.on("GET", "/f", file(OTHER, cut_at=1_200_000), changed)) == BODY
    assert len(site.of("GET", "/f")) == 2


def test_a_weak_tag_promises_nothing_and_the_range_is_asked_without_it(site: Site, fetch: Fetch) -> None:
    reply = Reply(200, BODY, ranges=True, etag='W/"1"', cut_at=5000)
    assert fetch(site.on("GET", "/f", reply, file(BODY))) == BODY
    assert "if-range" not in site.of("GET", "/f")[1].headers


def test_a_wrong_range_is_not_believed(site: Site, fetch: Fetch) -> None:
    wrong = Reply(206, BODY[:10], {"Content-Range": f"bytes 0-9/{len(BODY)}"})
    assert fetch(site.on("GET", "/f", file(BODY, cut_at=1000), wrong, file(BODY))) == BODY
    assert ranges(site) == ["", "bytes=1000-", ""]


def test_a_file_that_got_shorter_is_fetched_from_its_start(site: Site, fetch: Fetch) -> None:
    short = BODY[:500]
    url = site.on("GET", "/f", file(BODY, cut_at=1000), Reply(416), file(short))
    assert fetch(url, hashlib.sha256(short).hexdigest()) == short


def test_a_wrong_hash_leaves_no_file_and_the_next_try_starts_anew(site: Site, fetch: Fetch, tmp_path: Path) -> None:
    url = site.on("GET", "/f", file(OTHER), file(BODY))
    with pytest.raises(BootError, match="checksum mismatch") as error:
        fetch(url)
    assert hashlib.sha256(OTHER).hexdigest() in str(error.value) and hashlib.sha256(BODY).hexdigest() in str(
        error.value
    )
    assert list(tmp_path.iterdir()) == []
    assert fetch(url) == BODY


def test_a_part_of_another_file_in_the_middle_is_caught_by_the_hash(site: Site, fetch: Fetch, tmp_path: Path) -> None:
    url = site.on("GET", "/f", file(OTHER[:9] + b"!" + OTHER[10:], cut_at=1000, etag='"x"'), file(BODY, etag='"x"'))
    with pytest.raises(BootError, match="checksum mismatch"):
        fetch(url)
    assert list(tmp_path.iterdir()) == []


CLOSED = Reply(200, BODY[:1000], {"Connection": "close"}, cut_at=1000)
"""An answer whose end is that of the connection."""


def test_an_answer_without_a_length_is_judged_by_its_hash_and_refused_without_one(site: Site, fetch: Fetch) -> None:
    url = site.on("GET", "/f", CLOSED)
    assert fetch(url, hashlib.sha256(BODY[:1000]).hexdigest()) == BODY[:1000]
    with pytest.raises(BootError, match="checksum mismatch"):
        fetch(url)
    with pytest.raises(BootError, match="without a length needs the sha256"):
        fetch(url, "")


def test_a_chunked_answer_that_breaks_is_not_taken_for_the_whole(site: Site, fetch: Fetch) -> None:
    headers = {"Transfer-Encoding": "chunked"}
    whole = Reply(200, b"3e8\r\n" + BODY[:1000] + b"\r\n0\r\n\r\n", headers)
    broken = Reply(200, b"3e8\r\n" + BODY[:1000] + b"\r\n3e8\r\n" + BODY[:10], headers, cut_at=1030)
    assert fetch(site.on("GET", "/f", broken, broken, whole), "") == BODY[:1000]
    assert len(fetch.pauses) == 2


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_refusal_is_not_repeated(site: Site, fetch: Fetch, status: int) -> None:
    with pytest.raises(Refused, match=f"status {status}: gone away"):
        fetch(site.on("GET", "/f", Reply(status, b"gone away\nmore\n")))
    assert len(site.asked) == 1


def test_a_server_that_is_down_is_asked_again_with_growing_waits_and_its_own_wish(site: Site, fetch: Fetch) -> None:
    wish = Reply(429, headers={"Retry-After": "7"})
    assert fetch(site.on("GET", "/f", Reply(500), Reply(503), wish, file(BODY))) == BODY
    first, second, third = fetch.pauses
    assert 0.125 <= first <= 0.25 and 0.25 <= second <= 0.5 and 7 <= third <= 7.5


def test_a_server_that_stays_down_is_given_up_and_what_came_is_kept_for_the_next_try(site: Site, fetch: Fetch) -> None:
    url = site.on("GET", "/f", file(BODY, cut_at=300_000), Reply(500))
    with pytest.raises(Temporary, match="status 500"):
        fetch(url)
    site.on("GET", "/f", file(BODY))
    assert fetch(url) == BODY
    assert ranges(site)[-1] == "bytes=300000-"


def test_a_file_with_a_hash_may_lie_elsewhere(site: Site, fetch: Fetch, authority: Authority) -> None:
    other = Server(authority.leaf("elsewhere"))
    try:
        there = other.site()
        moved = there.on("GET", "/g", file(BODY, cut_at=1000), file(BODY))
        url = site.on("GET", "/f", Reply(302, headers={"Location": moved}))
        assert fetch(url) == BODY
        # After a break the first server is asked again: the place it named may be good for one use.
        assert len(site.asked) == len(there.asked) == 2
        with pytest.raises(BadDocument, match="needs the file's sha256"):
            fetch(url, "")
    finally:
        other.close()


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("/f", "more than 5 redirects"),
        ("http://127.0.0.1/", "from https to http"),
        ("file:///etc/passwd", "from https to file"),
        ("", "without a location"),
    ],
)
def test_a_redirect_that_leads_nowhere_good_is_refused(site: Site, fetch: Fetch, location: str, message: str) -> None:
    location = site.prefix + location if location.startswith("/") else location
    with pytest.raises(BadDocument, match=message):
        fetch(site.on("GET", "/f", Reply(302, headers={"Location": location})))


def test_a_stalled_server_is_left_after_the_idle_time(site: Site, fetch: Fetch) -> None:
    fetch.net = fetch.net._replace(idle_s=0.2)
    url = site.on("GET", "/f", file(BODY[:20], pause_s=0.6), file(BODY))
    assert fetch(url) == BODY


def test_a_full_disk_is_named(site: Site, fetch: Fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    full = Path("/dev/full")
    monkeypatch.setattr(download.Shelf, "path", lambda self, wanted: full)
    wanted = Wanted("image", site.on("GET", "/f", file(BODY)), "")
    with pytest.raises(BootError, match=r"cannot be written to /dev/full: No space left"):
        download.Download(wanted, full).fetch(fetch.net, fetch.said.append, fetch.pauses.append)
    assert fetch.pauses == []


def test_files_come_from_the_shelf_by_address_and_hash(fetch: Fetch) -> None:
    one, same, other = (Wanted("a", "u", "1"), Wanted("b", "u", "1"), Wanted("a", "u", "2"))
    assert fetch.shelf.path(one) == fetch.shelf.path(same) != fetch.shelf.path(other)


def test_the_client_names_itself_and_wants_no_encoding(site: Site, fetch: Fetch) -> None:
    fetch(site.on("GET", "/f", file(BODY)))
    asked: Asked = site.asked[0]
    assert asked.headers["user-agent"] == transfer.USER_AGENT
    assert asked.headers["accept-encoding"] == "identity"
    assert os.environ.get("HTTPS_PROXY") is None or asked.path.startswith("/")
