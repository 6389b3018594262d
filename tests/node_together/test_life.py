"""All programs of a pod together: all that was written or connected is in the archive, once, when the pod is gone.

The containers have the arguments, volumes, users and rights of the rendered manifest, and the images of this checkout.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from node.tcpinfo import reader
from tests.node_together.conftest import CONNECTIONS, EXPERIMENT, FIELDS, FILES, SIDECARS, Life
from tests.node_together.pod import quantity_bytes

pytestmark = [pytest.mark.xdist_group("containers"), pytest.mark.timeout(1800)]
NOBODY = 65534
RIGHTS = {"DAC_OVERRIDE": 1, "LEASE": 28}
_DAY, _STAMP = r"(?P<day>\d{4}/\d\d/\d\d)", r"\d{8}T\d{6}\.\d{6}Z"
OBJECT = re.compile(
    rf"(?P<kind>{EXPERIMENT}|autoload/v1/{EXPERIMENT})/(?P<datatype>[a-zA-Z0-9]+)/{_DAY}/"
    rf"{_STAMP}-[a-zA-Z0-9]+-mlab1-lga1t-{EXPERIMENT}(?P<end>\.tgz|-data\.jsonl\.gz|-index1\.jsonl\.gz)"
)
TABLE = re.compile(rf"autoload/v1/tables/{EXPERIMENT}/(?P<datatype>[a-zA-Z0-9]+)\.table\.json")
AUTOLOADED = {"replayInfo1", "clientXputs1", "decisions1"}


def test_every_program_ends_in_order_and_those_that_carry_data_away_last(life: Life) -> None:
    assert life.statuses == dict.fromkeys((*SIDECARS, EXPERIMENT), 0)
    assert set(sorted(life.ended_s, key=lambda name: life.ended_s[name])[-2:]) == {"pusher", "jostler"}


def test_every_result_file_is_in_exactly_one_bundle_as_it_was_written(life: Life) -> None:
    written = {file["name"]: file["sha256"] for file in life.told["files"]}
    assert len(written) == len(life.told["files"])
    assert len(written) == FILES - (FILES - 40) % CONNECTIONS
    datatypes = {name.partition("/")[0] for name in written}
    assert datatypes == {"replay", *AUTOLOADED}
    stored = [(f"replay/{name}", data) for name, data in life.members("replay")]
    stored += [(f"{datatype}/{name}", data) for datatype in AUTOLOADED for name, data in life.lines(datatype)]
    assert Counter(name for name, _ in stored) == Counter(written.keys())
    assert {name: hashlib.sha256(data).hexdigest() for name, data in stored} == written


def test_the_audit_that_operators_run_accounts_for_all_of_it(life: Life, tmp_path: Path) -> None:
    expected = tmp_path / "expected"
    expected.write_text("".join(f"{json.dumps(file)}\n" for file in life.told["files"]))
    words = ["node", "audit", "--json", "--expect", str(expected), str(life.spool), f"gs://{life.bucket}"]
    environment = {**os.environ, "STORAGE_EMULATOR_HOST": life.store}
    command = [str(Path(sys.executable).with_name("mlab")), *words]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout)
    totals, connections = said["totals"], sum(1 for _ in life.members("tcpinfo"))
    assert said["findings"] == [] and totals["waiting"] == totals["on_their_way"] == totals["quarantined"] == 0
    assert totals["proven"] == totals["expected"] == len(life.told["files"])
    assert totals["stored_once"] == totals["members"] == len(life.told["files"]) + connections


def test_every_connection_has_a_last_record_with_the_bytes_that_its_ends_counted(life: Life, tmp_path: Path) -> None:
    found: dict[str, list[reader.Snapshot]] = {}
    names = Counter(name for name, _ in life.members("tcpinfo"))
    assert max(names.values()) == 1
    for name, data in sorted(life.members("tcpinfo")):
        path = tmp_path / name.rpartition("/")[2]
        path.write_bytes(data)
        metadata, snapshots = reader.read(path)
        found.setdefault(metadata.uuid, []).extend(snapshots)
    counted = life.told["connections"]
    assert len(counted) == 2 * CONNECTIONS
    assert found.keys() >= counted.keys()
    wrong = {}
    for name, (sent, received, ended) in counted.items():
        last = found[name][-1]
        info = last.tcp_info
        # The end of the other's stream counts as one byte.
        fitting = {received, received + 1} if ended else {received}
        exact = info["BytesSent"] - info["BytesRetrans"] == sent and info["BytesReceived"] in fitting
        if not exact or (last.state == reader.CLOSED) != bool(ended):
            wrong[name] = (info["BytesSent"], info["BytesReceived"], last.state, sent, received, ended)
    assert not wrong, (len(wrong), list(wrong.items())[:5])


def test_nothing_is_left_on_the_node(life: Life) -> None:
    left = [path.relative_to(life.spool) for path in life.spool.rglob("*") if path.is_file()]
    # What the pusher keeps so that its journal has room on a full disk.
    assert {path.parts[0] for path in left} == {".pusher"} and {path.name for path in left} == {"reserve"}, left


def test_names_of_objects_are_those_that_parsers_read(life: Life) -> None:
    tables = {found["datatype"] for name in life.objects if (found := TABLE.fullmatch(name))}
    assert tables == AUTOLOADED
    bundles = {name: OBJECT.fullmatch(name) for name in life.objects if not TABLE.fullmatch(name)}
    assert all(bundles.values()), bundles
    kinds = {(match["datatype"], match["end"]) for match in bundles.values() if match}
    archived, lines = {"replay", "tcpinfo"}, {(name, "-data.jsonl.gz") for name in AUTOLOADED}
    assert kinds == {*((name, ".tgz") for name in archived), *lines, ("index1", "-index1.jsonl.gz")}
    assert len({match["day"] for match in bundles.values() if match}) >= 3


def test_the_init_containers_left_the_pod_s_name_and_nobody_s_directories(life: Life) -> None:
    prefix = (life.placed.node / "pod" / "uuid-prefix" / "prefix").read_text()
    assert re.fullmatch(rf"{FIELDS['metadata.name']}_\d{{10}}", prefix)
    assert all(name.startswith(f"{prefix}_") for name in life.told["connections"])
    assert life.folders.keys() >= {EXPERIMENT, "replay", *AUTOLOADED, "tcpinfo", "pcap", "scamper1", "annotation2"}
    assert set(life.folders.values()) == {(NOBODY, NOBODY, 0o2775)}


@pytest.mark.parametrize("name", SIDECARS)
def test_each_ran_with_the_manifest_s_user_rights_and_bounds_and_no_more(life: Life, name: str) -> None:
    manifest = life.placed.pod.container(name)
    context = manifest["securityContext"]
    status = life.processes[name]
    assert set(status["Uid"].split()) == {str(context.get("runAsUser", NOBODY))}
    rights = sum(1 << RIGHTS[right] for right in context["capabilities"].get("add", ()))
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == rights
    assert status["NoNewPrivs"] == "1"
    assert life.memory_bytes[name] == quantity_bytes(manifest["resources"]["limits"]["memory"])
