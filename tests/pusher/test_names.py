"""Names that the archive's parsers read, and what counts as strange in a file's name."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.pusher import names, sampling

NODE = "mlab6-lga0t"


def _us(*fields: int) -> int:
    moment = datetime.datetime(*fields, tzinfo=datetime.UTC)  # type: ignore[misc, arg-type]
    return round(moment.timestamp()) * 1_000_000 + moment.microsecond


@pytest.mark.parametrize(
    ("folder", "us", "name"),
    [
        (
            "2026/11/22",
            _us(2026, 11, 22, 18, 45, 12, 34001),
            "exp/summary/2026/11/22/20261122T184512.034001Z-summary-mlab6-lga0t-exp.tgz",
        ),
        ("monkey", _us(2018, 5, 6, 15, 1, 2, 44001), "exp/summary/monkey/20180506T150102.044001Z-summary-{}-exp.tgz"),
        (
            "2008/01/01",
            _us(2008, 1, 1),
            "exp/summary/2008/01/01/20080101T000000.000000Z-summary-mlab6-lga0t-exp.tgz",
        ),
        ("", _us(2008, 1, 1), "exp/summary/20080101T000000.000000Z-summary-mlab6-lga0t-exp.tgz"),
        ("a\nb", _us(2008, 1, 1), "exp/summary/a%0Ab/20080101T000000.000000Z-summary-mlab6-lga0t-exp.tgz"),
        ("\udcff", _us(2008, 1, 1), "exp/summary/%FF/20080101T000000.000000Z-summary-mlab6-lga0t-exp.tgz"),
        ("é", _us(2008, 1, 1), "exp/summary/é/20080101T000000.000000Z-summary-mlab6-lga0t-exp.tgz"),
    ],
)
def test_an_object_is_named_by_folder_time_and_machine(folder: str, us: int, name: str) -> None:
    assert names.tar("exp", "summary", folder, us, NODE) == name.format(NODE)


@given(st.lists(st.binary(min_size=1, max_size=255).filter(lambda part: not {0, 47} & set(part)), max_size=3))
def test_every_folder_gives_a_name_that_the_store_takes(parts: list[bytes]) -> None:
    folder = b"/".join(parts).decode(errors="surrogateescape")
    name = names.tar("exp", "summary", folder, 0, NODE)
    assert len(name.encode()) <= names.MAX_OBJECT_BYTES
    assert not set(name) & {chr(n) for n in (*range(32), 127)}


def test_lines_and_their_index_are_named_alike() -> None:
    us = _us(2026, 11, 22, 18, 45, 12, 34001)
    assert names.jsonl("autoload/v1", "ndt", "annotation2", "2026/11/21", us, "mlab1-abc01") == (
        "autoload/v1/ndt/annotation2/2026/11/21/20261122T184512.034001Z-annotation2-mlab1-abc01-ndt-data.jsonl.gz",
        "autoload/v1/ndt/index1/2026/11/21/20261122T184512.034001Z-annotation2-mlab1-abc01-ndt-index1.jsonl.gz",
    )


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("2009/01/01/tes/", "2009/01/01"),
        ("2009/01/test", "2009/01"),
        ("2009/test", "2009"),
        ("test", ""),
        ("2009/01/01/subdir/test", "2009/01/01"),
        ("2009/01/01/a/b/c/test", "2009/01/01"),
    ],
)
def test_a_bundle_is_for_the_first_three_folders(name: str, key: str) -> None:
    assert names.key(name) == key


@pytest.mark.parametrize(
    "name",
    [
        *("/gfdgf/../fsdfds/data.txt", "file.txt; rm -Rf *", "dir/.gz", "dir/.../file.gz", "dir/only_a_dir/"),
        *("ndt/2009/03/ab/file.gz", "2009/03/ab/file.gz", "ndt/summary/2009/03/01/file.gz"),
        *("summary/2009/03/01/file.gz", "2009/03/13/a\nb", "2009/03/13/é", "2009/03/13/\udcff", "2009/03/13/a..b"),
    ],
)
def test_a_strange_name_is_told(name: str) -> None:
    assert names.lint(name)


@pytest.mark.parametrize("name", ["2009/03/13/file.gz", "2013/01/01/subdirectory/file.tgz"])
def test_a_good_name_is_not_strange(name: str) -> None:
    assert names.lint(name) == ""


@pytest.mark.parametrize(
    ("host", "node"),
    [
        ("mlab1.abc01.measurement-lab.org", "mlab1-abc01"),
        ("mlab4.abc0t.measurement-lab.org", "mlab4-abc0t"),
        ("mlab1-abc01.measurement-lab.org", "mlab1-abc01"),
        ("mlab1d-abc01.measurement-lab.org", "mlab1d-abc01"),
        ("ndt-iupui-mlab1-abc01.measurement-lab.org", "mlab1-abc01"),
        ("ndt.iupui.mlab1.abc01.measurement-lab.org", "mlab1-abc01"),
        ("mlab1-abc0c.mlab-oti.measurement-lab.org", "mlab1-abc0c"),
        ("mlab1-abc01.mlab-sandbox.measurement-lab.test", "mlab1-abc01"),
        ("ndt-mlab1-abc01.mlab-staging.measurement-lab.org", "mlab1-abc01"),
        ("mlab1-abc01.mlab-oti.measurement-lab.org-gz77", "mlab1-abc01"),
        ("ndt-lga12345-c0a80001.rnp.autojoin.measurement-lab.org", "c0a80001-lga12345"),
        ("lga12345-c0a80001.rnp.autojoin.measurement-lab.org", "c0a80001-lga12345"),
        ("third-party", "third-party"),
    ],
)
def test_a_machine_is_called_by_machine_and_site(host: str, node: str) -> None:
    assert names.node(host) == node


@pytest.mark.parametrize(
    "host",
    [
        *("", "mlab5.abc01.measurement-lab.org", "mlab1.abcd1.measurement-lab.org", "mlab1-abc01", "example.net"),
        *("mlab1-abc01.mlab-oti.example.org", "lga12345-c0a8000.rnp.autojoin.measurement-lab.org", "mlab1.abc01\n"),
    ],
)
def test_what_is_no_machine_is_refused(host: str) -> None:
    with pytest.raises(names.UnknownMachine, match="is no name of a machine"):
        names.node(host)


def test_stamps_grow_also_when_the_clock_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([5_000_000, 5_000_000, 1_000_000, 9_000_000])
    monkeypatch.setattr("node.pusher.names.time.time_ns", lambda: next(clock))
    stamps = names.Stamps()
    assert [stamps.next() for _ in range(4)] == [5000, 5001, 5002, 9000]


@given(st.text(min_size=1, max_size=40), st.floats(0, 1))
def test_a_file_is_chosen_by_its_name_alone_and_by_every_larger_ratio(name: str, ratio: float) -> None:
    assert sampling.chosen(name, 1.0)
    assert not sampling.chosen(name, 0.0)
    assert sampling.chosen(name, ratio) == sampling.chosen(name, ratio)
    if sampling.chosen(name, ratio):
        assert sampling.chosen(name, (1 + ratio) / 2)


def test_sampling_keeps_the_ratio() -> None:
    kept = sum(sampling.chosen(f"2026/11/22/file-{n}.json", 0.25) for n in range(10_000))
    assert 2300 < kept < 2700
