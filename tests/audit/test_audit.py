"""Every way in which a file may be where it does not belong is told by the real command."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reconcilers.cli import main
from tests.audit import made
from tests.audit.made import DAY, Made, numbered


@pytest.fixture
def there(tmp_path: Path) -> Made:
    """An empty spool with two datatypes, and an empty bucket."""
    made = Made(tmp_path)
    for datatype in ("ndt7", "tcpinfo"):
        (made.spool / datatype).mkdir(parents=True)
    made.bucket.mkdir()
    return made


Audit = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def audit(there: Made, capsys: pytest.CaptureFixture[str]) -> Audit:
    """Run it: the exit status and its document."""

    def run(*words: str) -> tuple[int, dict[str, Any]]:
        status = main.main(["node", "audit", str(there.spool), str(there.bucket), "--json", *words])
        said = capsys.readouterr()
        assert said.err == ""
        return status, json.loads(said.out)

    return run


def kinds(document: dict[str, Any]) -> list[tuple[str, str]]:
    return [(finding["kind"], finding["what"]) for finding in document["findings"]]


def test_a_spool_that_is_all_in_order_is_accounted_for(there: Made, audit: Audit) -> None:
    there.tar(1, numbered(0, 10))
    there.tar(2, numbered(0, 10), "tcpinfo")
    there.file(f"ndt7/{DAY}/waits", b"123")
    pending, way = numbered(20, 25), numbered(30, 33)
    for name, content in (pending | way).items():
        there.file(f"ndt7/{name}", content)
    there.journal(there.tar(3, pending), pending, stored=True)
    there.journal(made.tar_name(4), way, stored=False)
    status, document = audit()
    assert (status, document["findings"]) == (0, [])
    totals = document["totals"]
    assert (totals["bundles"], totals["members"], totals["stored_once"]) == (3, 25, 25)
    assert (totals["waiting"], totals["waiting_bytes"]) == (1, 3)
    assert (totals["on_their_way"], totals["deletion_pending"]) == (3, 5)


def test_the_summary_is_a_few_plain_lines(there: Made, capsys: pytest.CaptureFixture[str]) -> None:
    there.tar(1, numbered(0, 2))
    there.tar(2, numbered(1, 3))
    assert main.main(["node", "audit", str(there.spool), str(there.bucket)]) == 6
    first, *rest = capsys.readouterr().out.splitlines()
    assert first == f"twice: ndt7/{DAY}/1: stored 2 times, in {made.tar_name(1)}, {made.tar_name(2)}"
    assert rest == [
        "stored: 2 files once; 4 members, 56 bytes, in 2 bundles".replace("56", str(4 * 130)),
        "in the spool: 0 wait, 0 bytes, the oldest since 0 s; 0 on their way, 0 stored and to be deleted,"
        " 0 quarantined",
        "findings: 1 twice",
    ]


def test_other_content_under_a_stored_name_is_told_apart_from_the_same_twice(there: Made, audit: Audit) -> None:
    there.tar(1, {f"{DAY}/x": b"first", f"{DAY}/y": b"same"})
    there.tar(2, {f"{DAY}/x": b"first and more", f"{DAY}/y": b"same"})
    status, document = audit()
    assert (status, kinds(document)) == (6, [("rewritten", f"ndt7/{DAY}/x"), ("twice", f"ndt7/{DAY}/y")])


def test_two_nodes_may_have_files_of_one_name(there: Made, audit: Audit) -> None:
    there.tar(1, numbered(0, 5))
    there.tar(1, numbered(0, 5), node="mlab2-abc01")
    assert audit()[0] == 0
    assert audit("--node=mlab1-abc01")[1]["totals"]["bundles"] == 1


def test_a_stored_file_that_no_journal_will_delete_is_told(there: Made, audit: Audit) -> None:
    files = numbered(0, 3)
    there.tar(1, files)
    there.file(f"ndt7/{DAY}/1", files[f"{DAY}/1"])
    there.file(f"ndt7/{DAY}/2", b"another content under this name")
    status, document = audit()
    assert (status, kinds(document)) == (6, [("left", f"ndt7/{DAY}/1")])
    assert document["totals"]["waiting"] == 0


def test_a_file_that_was_deleted_before_its_bundle_was_stored_is_lost(there: Made, audit: Audit) -> None:
    files = numbered(0, 2)
    there.file(f"ndt7/{DAY}/0", files[f"{DAY}/0"])
    there.journal(made.tar_name(1), files, stored=False)
    status, document = audit()
    assert (status, kinds(document)) == (6, [("lost", f"ndt7/{DAY}/1")])
    there.journal(made.tar_name(1), files, stored=True)
    assert kinds(audit()[1]) == [("lost", f"ndt7/{DAY}/1"), ("unproven", made.tar_name(1))]
    there.object(made.tar_name(1), b"something else")
    assert ("unproven", made.tar_name(1)) in kinds(audit()[1])


def test_a_journal_that_was_never_sealed_counts_for_nothing(there: Made, audit: Audit) -> None:
    files = numbered(0, 2)
    journal = there.journal(made.tar_name(1), files, stored=False)
    journal.write_bytes(journal.read_bytes()[:-3])
    assert audit()[0] == 0


def test_files_that_were_moved_aside_are_told(there: Made, audit: Audit) -> None:
    there.file(f".pusher/annotation2/quarantine/{DAY}/bad.json", b"{")
    status, document = audit()
    assert (status, kinds(document)) == (6, [("quarantined", f"annotation2/{DAY}/bad.json")])


def test_lines_are_compared_to_the_byte_with_and_without_their_newline(there: Made, audit: Audit) -> None:
    files = {f"{DAY}/a.json": b'{"x":  1.0, "y": "\\u00e9"}', f"{DAY}/b.json": b"[1, 2]\n", f"{DAY}/c.json": b"{}"}
    there.lines(1, files, "annotation2")
    expected = there.expect({f"annotation2/{name}": content for name, content in files.items()})
    status, document = audit(f"--expect={expected}")
    assert (status, document["totals"]["proven"]) == (0, 3)
    expected = there.expect({f"annotation2/{DAY}/a.json": b'{"x": 1.0, "y": "\\u00e9"}'})
    assert kinds(audit(f"--expect={expected}")[1]) == [("altered", f"annotation2/{DAY}/a.json")]


def test_what_was_written_is_proven_file_by_file(there: Made, audit: Audit) -> None:
    files = numbered(0, 6)
    written = {f"ndt7/{name}": content for name, content in files.items()}
    there.tar(1, {name: content for name, content in files.items() if name[-1] in "01"})
    there.tar(2, {f"{DAY}/1": files[f"{DAY}/1"], f"{DAY}/2": b"altered"})
    there.file(f"ndt7/{DAY}/3", files[f"{DAY}/3"])
    there.file(f".pusher/ndt7/quarantine/{DAY}/4", files[f"{DAY}/4"])
    status, document = audit(f"--expect={there.expect(written)}")
    assert status == 6
    assert kinds(document) == [
        ("quarantined", f"ndt7/{DAY}/4"),
        ("twice", f"ndt7/{DAY}/1"),
        ("altered", f"ndt7/{DAY}/2"),
        ("unstored", f"ndt7/{DAY}/3"),
        ("missing", f"ndt7/{DAY}/4"),
        ("missing", f"ndt7/{DAY}/5"),
    ]
    assert (document["totals"]["expected"], document["totals"]["proven"]) == (6, 1)


def test_a_datatype_whose_folder_is_gone_is_looked_for_when_it_is_expected(there: Made, audit: Audit) -> None:
    files = numbered(0, 2)
    there.tar(1, files, "gone1")
    expected = there.expect({f"gone1/{name}": content for name, content in files.items()})
    assert audit(f"--expect={expected}")[1]["totals"]["proven"] == 2


def test_names_of_any_bytes_are_told_on_one_line(there: Made, audit: Audit) -> None:
    names = ["a\nb", "\udcff\udcfe", "n" * 255, "é", " ", "\x1b[31m"]
    files = {f"{DAY}/{name}": os.fsencode(name) for name in names}
    there.tar(1, files)
    there.tar(2, {f"{DAY}/a\nb": b"a\nb"})
    expected = there.expect({f"ndt7/{name}": content for name, content in files.items()})
    document = audit(f"--expect={expected}")[1]
    assert kinds(document) == [("twice", f"'ndt7/{DAY}/a\\nb'")]
    assert document["totals"]["proven"] == len(names) - 1


def _flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    "spoil",
    [
        *(lambda content, part=part: content[: len(content) * part // 10] for part in range(10)),
        _flipped,
        lambda content: content + b"more",
        lambda content: content[:-8] + b"\0" * 8,
        lambda _: made.tar({f"{DAY}/x": b"1"}, "tcpinfo"),
    ],
)
def test_a_spoilt_bundle_is_told_and_the_others_are_read(
    there: Made, audit: Audit, spoil: Callable[[bytes], bytes]
) -> None:
    spoilt = there.object(made.tar_name(1), spoil(made.tar({f"{DAY}/{n}": os.urandom(3000) for n in range(20)})))
    there.tar(2, numbered(50, 60))
    status, document = audit()
    assert (status, kinds(document)) == (6, [("corrupt", spoilt)])
    assert document["totals"]["stored_once"] >= 10


@pytest.mark.parametrize("what", ["index is absent", "index is short", "index is in another order", "line is cut"])
def test_a_bundle_of_lines_that_its_index_does_not_fit_is_told(there: Made, audit: Audit, what: str) -> None:
    files = numbered(0, 3, ".json")
    data, index = there.lines(1, dict.fromkeys(files, b"{}"), "annotation2")
    (there.spool / "annotation2").mkdir()
    if what == "index is absent":
        (there.bucket / index).unlink()
    elif what == "line is cut":
        content, _ = made.lines({f"{DAY}/x.json": b'{"x": '}, "annotation2")
        there.object(data, content)
    else:
        names = list(files)[:2] if what == "index is short" else list(files)[::-1]
        there.object(index, made.lines(dict.fromkeys(names, b"{}"), "annotation2")[1])
    status, document = audit()
    assert (status, kinds(document)) == (6, [("corrupt", data)])


def test_objects_of_other_names_are_counted_and_left_alone(there: Made, audit: Audit) -> None:
    there.object(f"ndt/ndt7/{DAY}/README", b"not a bundle")
    there.object(f"other/ndt7/{DAY}/20261125T120000.000001Z-ndt7-mlab1-abc01-other.tgz", b"of nobody's concern")
    status, document = audit()
    assert (status, document["totals"]["bundles"], document["totals"]["other_objects"]) == (0, 0, 1)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("x", "expected:1: "),
        ('{"name": "ndt7/x"}', "size"),
        ('{"name": "ndt7/x", "size": 1, "sha256": "zz"}', "non-hexadecimal"),
    ],
)
def test_a_list_that_is_none_ends_the_run(there: Made, capsys: pytest.CaptureFixture[str], line: str, why: str) -> None:
    (there.root / "expected").write_text(line + "\n")
    words = ["node", "audit", str(there.spool), str(there.bucket), f"--expect={there.root / 'expected'}"]
    assert main.main(words) == 1
    said = capsys.readouterr().err
    assert re.search(why, said) and said.count("\n") == 1


def test_a_spool_that_is_absent_ends_the_run(there: Made, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["node", "audit", str(there.root / "absent"), str(there.bucket)]) == 1
    assert "absent: No such file or directory; give pusher's -directory" in capsys.readouterr().err
