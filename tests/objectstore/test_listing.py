"""Listings: order, prefix, delimiter, offsets, globs, versions and pages, over every page size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from google.cloud import storage
from hypothesis import given
from hypothesis import strategies as st

from services.local.objectstore.errors import ApiError
from services.local.objectstore.listing import glob_pattern, successor
from tests.objectstore.wire import Wire, bucket_path, done, object_path, reason

NAMES = [
    "B",
    "a",
    "a/",
    "a/1.json",
    "a/1/x",
    "a/2.json",
    "a/b/c/d",
    "a//e",
    "ab",
    "b/1",
    "b/2",
    "c",
    "z\uffff",
    "é/1",
    "\U0001f600",
]


@pytest.fixture(scope="module")
def full(wire: Wire) -> str:
    """A bucket with all of `NAMES`, written in no order; for reading only."""
    wire.make_bucket("listing")
    for name in sorted(NAMES, key=lambda name: hash(name) % 7):
        wire.put("listing", name, name.encode())
    return "listing"


def pages(wire: Wire, bucket: str, size: int, **query: object) -> Iterator[dict[str, Any]]:
    """All pages of a listing; no page may be larger than asked, and none but the last empty."""
    token = None
    while True:
        asked = {"maxResults": size, **query, **({"pageToken": token} if token else {})}
        found = done(wire.call("GET", f"{bucket_path(bucket)}/o", asked))
        assert 0 <= len(found.get("items", ())) + len(found.get("prefixes", ())) <= size
        yield found
        token = found.get("nextPageToken")
        if not token:
            return
        assert found.get("items") or found.get("prefixes")


def listed(wire: Wire, bucket: str, size: int, **query: object) -> tuple[list[str], list[str]]:
    """Names and prefixes of all pages together."""
    names: list[str] = []
    prefixes: list[str] = []
    for page in pages(wire, bucket, size, **query):
        names += [item["name"] for item in page.get("items", ())]
        prefixes += page.get("prefixes", ())
    return names, prefixes


def expected(prefix: str = "", delimiter: str = "", start: str = "", end: str = "") -> tuple[list[str], list[str]]:
    """What a listing of `NAMES` is by the API's description, in the order of the names' bytes."""
    names, prefixes = [], []
    for name in sorted(NAMES, key=str.encode):
        if not name.startswith(prefix) or name < start or (end and name >= end):
            continue
        cut = name.find(delimiter, len(prefix)) if delimiter else -1
        if cut < 0:
            names.append(name)
        elif name[: cut + len(delimiter)] not in prefixes:
            prefixes.append(name[: cut + len(delimiter)])
    return names, prefixes


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
@pytest.mark.parametrize(
    "query",
    [
        {},
        {"prefix": "a"},
        {"prefix": "a/"},
        {"prefix": "nothing"},
        {"prefix": "é"},
        {"delimiter": "/"},
        {"prefix": "a/", "delimiter": "/"},
        {"prefix": "a", "delimiter": "/"},
        {"delimiter": ".json"},
        {"startOffset": "a/2"},
        {"endOffset": "b/2"},
        {"startOffset": "a/", "endOffset": "b"},
        {"startOffset": "a/b", "prefix": "a/", "delimiter": "/"},
        {"startOffset": "b", "endOffset": "a"},
    ],
    ids=str,
)
def test_a_listing_is_the_same_in_pages_of_any_size(wire: Wire, full: str, query: dict[str, str], size: int) -> None:
    renamed = {"startOffset": "start", "endOffset": "end"}
    wanted = expected(**{renamed.get(key, key): value for key, value in query.items()})
    assert listed(wire, full, size, **query) == wanted


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_a_trailing_delimiter_is_listed_as_an_object_too_if_asked_for(wire: Wire, full: str, size: int) -> None:
    names, prefixes = listed(wire, full, max(size, 2), delimiter="/", includeTrailingDelimiter="true")
    assert names == ["B", "a", "a/", "ab", "c", "z\uffff", "\U0001f600"]
    assert prefixes == ["a/", "b/", "é/"]


@pytest.mark.parametrize(
    ("glob", "names"),
    [
        ("*", ["B", "a", "ab", "c", "z\uffff", "\U0001f600"]),
        ("a/*.json", ["a/1.json", "a/2.json"]),
        ("a/**", ["a/", "a//e", "a/1.json", "a/1/x", "a/2.json", "a/b/c/d"]),
        ("**/[12]", ["b/1", "b/2", "é/1"]),
        ("[!ac]", ["B", "\U0001f600"]),
        ("?/{1,2}", ["b/1", "b/2", "é/1"]),
        ("[[a^]", ["a"]),
        ("a.", []),
    ],
)
@pytest.mark.parametrize("size", [1, 1000])
def test_a_glob_chooses_by_segments(wire: Wire, full: str, glob: str, names: list[str], size: int) -> None:
    assert listed(wire, full, size, matchGlob=glob) == (names, [])


def test_the_client_lists_pages_prefixes_and_globs(client: storage.Client, full: str) -> None:
    found = client.list_blobs(full, prefix="a/", delimiter="/", page_size=2)
    assert [blob.name for blob in found] == expected("a/", "/")[0] and sorted(found.prefixes) == expected("a/", "/")[1]
    assert [blob.name for blob in client.list_blobs(full, match_glob="b/*")] == ["b/1", "b/2"]
    assert [blob.name for blob in client.list_blobs(full, max_results=3)] == expected()[0][:3]
    assert [blob.name for blob in client.list_blobs(full, start_offset="b", end_offset="c")] == ["b/1", "b/2"]


def test_more_objects_than_a_page_may_hold_come_in_several(wire: Wire, bucket: storage.Bucket) -> None:
    wire.put(bucket.name, "source", b"")

    def copy(number: int) -> None:
        path = f"{object_path(bucket.name, 'source')}/copyTo{object_path(bucket.name, f'o/{number:04}')[11:]}"
        done(wire.call("POST", path))

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(copy, range(1100)))
    sizes = [len(page.get("items", ())) for page in pages(wire, bucket.name, 5000, prefix="o/")]
    assert sizes == [1000, 100]
    assert listed(wire, bucket.name, 1000, delimiter="/") == (["source"], ["o/"])


def test_versions_are_listed_oldest_first(wire: Wire, make_bucket: Callable[..., storage.Bucket]) -> None:
    bucket = make_bucket(versioning_enabled=True)
    made = [wire.put(bucket.name, name, b"data")["generation"] for name in ("b", "a", "b", "a", "b")]
    wanted = [("a", made[1]), ("a", made[3]), ("b", made[0]), ("b", made[2]), ("b", made[4])]
    for size in (1, 2, 1000):
        found = [
            (item["name"], item["generation"], "timeDeleted" in item)
            for page in pages(wire, bucket.name, size, versions="true")
            for item in page["items"]
        ]
        assert found == [(*each, number not in (1, 4)) for number, each in enumerate(wanted)]
    assert listed(wire, bucket.name, 1000)[0] == ["a", "b"]


def test_what_stays_is_listed_once_while_others_come_go_and_change(wire: Wire, bucket: storage.Bucket) -> None:
    for name in "bdfhj":
        wire.put(bucket.name, name, b"data")
    names = []
    for number, page in enumerate(pages(wire, bucket.name, 1)):
        names += [item["name"] for item in page.get("items", ())]
        wire.put(bucket.name, names[-1], b"changed")
        wire.put(bucket.name, "a", b"comes behind the place")
        if number == 1:
            wire.put(bucket.name, "e", b"comes before it")
            done(wire.call("DELETE", object_path(bucket.name, "h")))
    assert names == list("bdefj")


@pytest.mark.parametrize(
    "query",
    [{"pageToken": "x"}, {"pageToken": "Nw=="}, {"maxResults": "-1"}, {"maxResults": "x"}, {"matchGlob": "[z-a]"}],
)
def test_a_listing_that_makes_no_sense_is_refused(wire: Wire, full: str, query: dict[str, str]) -> None:
    answer = wire.call("GET", f"{bucket_path(full)}/o", query)
    assert (answer.status_code, reason(answer)) == (400, "invalid")


def test_the_bucket_of_a_listing_must_be_there(wire: Wire) -> None:
    assert wire.call("GET", "/storage/v1/b/nowhere/o").status_code == 404


@given(st.text(min_size=1), st.text())
def test_the_successor_is_above_all_that_begin_with_a_prefix(prefix: str, rest: str) -> None:
    above = successor(prefix)
    assert above is None or (prefix + rest).encode() < above.encode()


@given(st.text(st.sampled_from("ab/*?[]{},!^-\\.")), st.text(st.sampled_from("ab/")))
def test_any_glob_is_a_pattern_or_refused(glob: str, name: str) -> None:
    try:
        pattern = glob_pattern(glob)
    except ApiError as error:
        assert error.code == 400
        return
    pattern.fullmatch(name)
