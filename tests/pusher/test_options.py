"""Command lines of the public platform's pusher and jostler, and the values that a start fails at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from node import flags
from node.pusher import jostler, options
from node.pusher.settings import Settings, StartError

FIELDS = [{"name": "UUID", "type": "STRING"}]


def pusher(*words: str, env: dict[str, str] | None = None) -> Settings:
    assert not jostler.meant(words, env or {})
    return options.settings(flags.parse(options.FLAGS, words, env or {}))


def lines(*words: str, env: dict[str, str] | None = None) -> Settings:
    assert jostler.meant(words, env or {})
    return jostler.settings(flags.parse(jostler.FLAGS, words, env or {}))


def test_a_pod_of_the_public_platform_starts_pusher(tmp_path: Path) -> None:
    made = pusher(
        *("-prometheusx.listen-address=127.0.0.1:9995", "-bucket=pusher-mlab-oti", "-experiment=ndt"),
        *("-archive_size_threshold=50MB", "-sigterm_wait_time=40s", f"-directory={tmp_path}"),
        *("-metadata=MLAB.server.name=mlab1", "-metadata=MLAB.experiment.name=ndt"),
        *("-datatype=ndt7", "-datatype=tcpinfo,pcap", "-datatype=scamper1=0.5"),
        env={"MLAB_NODE_NAME": "mlab1-abc01.mlab-oti.measurement-lab.org"},
    )
    assert {each.name: each.ratio for each in made.datatypes} == {"ndt7": 1, "tcpinfo": 1, "pcap": 1, "scamper1": 0.5}
    assert made.bucket == "pusher-mlab-oti" and not made.tables
    assert made.times.collect_s == 40
    assert [each.root for each in made.datatypes][:2] == [tmp_path / "ndt7", tmp_path / "tcpinfo"]
    (name,) = made.forms["ndt7"].names("2026/11/22", 0)
    assert name == "ndt/ndt7/2026/11/22/19700101T000000.000000Z-ndt7-mlab1-abc01-ndt.tgz"


def jostlers(folder: Path, *words: str, experiment: str = "ndt", node: str = "mlab1-abc01.mlab-oti") -> list[str]:
    (folder / "annotation2.json").write_text(json.dumps(FIELDS))
    return [
        *("-gcs-bucket=pusher-mlab-oti", f"-experiment={experiment}", f"-local-data-dir={folder}"),
        *(f"-mlab-node-name={node}.measurement-lab.org", "-datatype=annotation2", *words),
        *(f"-datatype-schema-file=annotation2:{folder}/annotation2.json",),
    ]


def test_a_pod_of_the_public_platform_starts_jostler(tmp_path: Path) -> None:
    more = ("-gcs-data-dir=autoload/v1", "-bundle-size-max=52428800", "-bundle-age-max=1h", "-extensions=.json")
    made = lines(*jostlers(tmp_path, *more, "-missed-age=2h", "-missed-interval=5m"))
    (of,) = made.datatypes
    assert (of.name, of.root, of.max_file_age_s) == ("annotation2", tmp_path / "ndt/annotation2", 7200)
    assert of.root.is_dir(), "jostler makes the folder that it watches"
    assert of.wait.draw() == 3600
    assert made.tables["annotation2"].object_name == "autoload/v1/tables/ndt/annotation2.table.json"
    name, index = made.forms["annotation2"].names("2026/11/22", 0)
    assert name == (
        "autoload/v1/ndt/annotation2/2026/11/22/19700101T000000.000000Z-annotation2-mlab1-abc01-ndt-data.jsonl.gz"
    )
    assert index.startswith("autoload/v1/ndt/index1/2026/11/22/")


def test_an_organization_is_in_the_names_of_lines_and_not_in_those_of_tables(tmp_path: Path) -> None:
    made = lines(*jostlers(tmp_path, "-gcs-data-dir=autoload/v2", "-organization=rnp"))
    assert made.forms["annotation2"].names("2026/11/22", 0)[0].startswith("autoload/v2/rnp/ndt/annotation2/2026/11/22/")
    assert made.tables["annotation2"].object_name == "autoload/v2/tables/ndt/annotation2.table.json"


def test_one_process_may_do_both(tmp_path: Path) -> None:
    (tmp_path / "annotation2.json").write_text(json.dumps(FIELDS))
    schema = f"-datatype-schema-file=annotation2:{tmp_path}/annotation2.json"
    made = pusher(f"-directory={tmp_path}", "-datatype=ndt7", "-autoload=annotation2", schema)
    assert [each.name for each in made.datatypes] == ["ndt7", "annotation2"]
    assert list(made.tables) == ["annotation2"]


def test_the_bucket_says_whose_command_line_it_is() -> None:
    assert jostler.meant(["-gcs-bucket=x"], {}) and jostler.meant(["--gcs-bucket", "x"], {"BUCKET": "y"})
    assert jostler.meant([], {"GCS_BUCKET": "x"}) and jostler.meant(["-local"], {})
    assert not jostler.meant(["-gcs-bucket=x", "-bucket=y"], {}) and not jostler.meant([], {})


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), "no -datatype"),
        (("-datatype=Ndt7",), "-datatype 'Ndt7' is not made of"),
        (("-datatype=ndt7=2",), "the ratio is not from 0 to 1"),
        (("-datatype=ndt7=x",), "the ratio is not from 0 to 1"),
        (("-datatype=ndt7=nan",), "the ratio is not from 0 to 1"),
        (("-datatype=ndt7", "-experiment=a/b"), "-experiment 'a/b'"),
        (("-datatype=ndt7", "-mlab_node_name=x"), "-mlab_node_name: 'x' is no name"),
        (("-datatype=ndt7", "-node_name=a/b"), "has a slash"),
        (("-datatype=ndt7", "-archive_wait_time_min=3h"), "are not minimum <= expected <= maximum"),
        (("-datatype=ndt7", "-archive_wait_time_min=-1s"), "are not minimum <= expected <= maximum"),
        (("-datatype=ndt7", "-cleanup_interval=0s"), "-cleanup_interval"),
        (("-datatype=ndt7", "-cleanup_interval=5h"), "-cleanup_interval"),
        (("-datatype=ndt7", "-upload_timeout=0"), "-upload_timeout"),
        (("-datatype=ndt7", "-archive_max_files=0"), "-archive_max_files"),
        (("-datatype=ndt7", "-metadata=path=x"), "-metadata: 'path' has a meaning"),
        (("-datatype=ndt7", "-autoload=ndt7"), "both have ndt7"),
        (("-datatype=ndt7", "-autoload=x"), "x.json: cannot be read"),
    ],
)
def test_a_wrong_value_of_pusher_is_told(words: tuple[str, ...], why: str, tmp_path: Path) -> None:
    with pytest.raises(StartError, match=why.replace("(", r"\(")):
        pusher(f"-directory={tmp_path}", *words)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"experiment": ""}, "no -experiment"),
        ({"node": "mlab9-abc01.x"}, "-mlab-node-name: "),
        ({"words": ["-organization=rnp"]}, "-organization 'rnp' with"),
        ({"words": ["-gcs-data-dir=autoload/v2"]}, "autoload/v2 needs one"),
        ({"words": ["-gcs-data-dir=autoload/v2", "-organization=Rnp"]}, "autoload/v2 needs one"),
        ({"words": ["-datatype=other"]}, r"other\.json: cannot be read"),
        ({"words": ["-datatype-schema-file=other:x"]}, "other is no datatype"),
        ({"words": ["-datatype-schema-file=other"]}, "is not DATATYPE:PATH"),
        ({"words": ["-bundle-size-max=0"]}, "-bundle-size-max 0"),
        ({"words": ["-bundle-age-max=0"]}, "-bundle-age-max 0"),
        ({"words": ["-missed-interval=0"]}, "-missed-interval 0"),
        ({"words": ["-datatype=a/b"]}, "-datatype 'a/b'"),
    ],
)
def test_a_wrong_value_of_jostler_is_told(change: dict[str, Any], why: str, tmp_path: Path) -> None:
    words = change.pop("words", [])
    with pytest.raises(StartError, match=why):
        lines(*jostlers(tmp_path, *words, **change))


def test_local_writes_the_tables_and_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "annotation2.json").write_text(json.dumps(FIELDS))
    monkeypatch.chdir(tmp_path)
    words = ("-local", "-experiment=ndt", "-datatype=annotation2", "-datatype-schema-file=annotation2:annotation2.json")
    assert jostler.local(flags.parse(jostler.FLAGS, words, {})) == 0
    made = json.loads((tmp_path / "annotation2-table.json").read_text())
    assert [field["name"] for field in made] == ["date", "archiver", "raw"]
