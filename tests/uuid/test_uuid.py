"""Prefix file and names of connections, through the program that pods run and the library that programs use."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from node import uuid
from node.uuid import __main__ as program

ROOT = Path(__file__).parents[2]
COOKIE = bytes.fromhex("d10d720000000000")


def create(*words: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run create-uuid-prefix-file."""
    command = [sys.executable, "-m", "node.uuid", *words]
    kept = {key: os.environ[key] for key in ("PATH",)}
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, env={**kept, **(environment or {})}, timeout=60
    )


def test_the_file_holds_pod_and_boot_time_without_a_line_break_and_is_read_only(tmp_path: Path) -> None:
    path = tmp_path / "prefix"
    path.write_text("what a former container left")
    path.chmod(0o444)
    done = create("-filename", str(path), environment={"POD_NAME": "ndt-abc12"})
    assert done.returncode == 0, done.stderr
    pod, _, boot = path.read_text().partition("_")
    assert pod == "ndt-abc12"
    uptime_s = float(Path("/proc/uptime").read_text().split()[0])
    assert abs(int(boot) - (time.time() - uptime_s)) < 3
    assert path.stat().st_mode & 0o777 == 0o444
    assert [entry.name for entry in tmp_path.iterdir()] == ["prefix"]


def test_the_name_of_the_file_may_come_from_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "prefix"
    assert create(environment={"POD_NAME": "a", "FILENAME": str(path)}).returncode == 0
    assert uuid.read_prefix(path).startswith("a_")


@pytest.mark.parametrize("environment", [{}, {"POD_NAME": ""}])
def test_without_a_pod_the_host_gives_its_name(tmp_path: Path, environment: Mapping[str, str]) -> None:
    assert create(f"-filename={tmp_path / 'prefix'}", environment=environment).returncode == 0
    assert (tmp_path / "prefix").read_text().rpartition("_")[0] == socket.gethostname()


@pytest.mark.parametrize(
    ("words", "pod", "status", "said"),
    [
        ((), "a", 1, "-filename is empty"),
        (("-filename=/nowhere/at/all/prefix",), "a", 1, "/nowhere/at/all"),
        (("-filename={folder}/prefix",), "../etc/x", 1, "'../etc/x_"),
        (("-filename={folder}/prefix",), "a b", 1, "POD_NAME"),
        (("-file=x",), "a", 2, "flag -file is not defined"),
        (("prefix",), "a", 2, "'prefix' is no flag"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    tmp_path: Path, words: tuple[str, ...], pod: str, status: int, said: str
) -> None:
    done = create(*(word.format(folder=tmp_path) for word in words), environment={"POD_NAME": pod})
    assert (done.returncode, list(tmp_path.iterdir())) == (status, [])
    assert said in done.stderr and "Traceback" not in done.stderr


def test_a_failed_write_leaves_the_former_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "prefix"
    program.write(path, "a_1")

    def refuse(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="No space"):
        program.write(path, "b_2")
    assert path.read_text() == "a_1"
    assert [entry.name for entry in tmp_path.iterdir()] == ["prefix"]


@pytest.mark.parametrize("uptime", ["", "\n", "spam 12.3", "nan 1", "inf 1"])
def test_an_uptime_that_is_none_gives_no_prefix(uptime: str) -> None:
    with pytest.raises(uuid.UuidError, match="proc/uptime"):
        uuid.new_prefix({"POD_NAME": "a"}, 1795366319.5, uptime)


def test_boot_time_is_rounded_down() -> None:
    assert uuid.new_prefix({"POD_NAME": "a"}, 1795366319.9, "0.50 3.1") == "a_1795366319"
    assert uuid.new_prefix({"POD_NAME": "a"}, 1795366319.4, "0.50 3.1") == "a_1795366318"


def test_a_prefix_file_may_end_in_a_line_break(tmp_path: Path) -> None:
    path = tmp_path / "prefix"
    path.write_text("ndt-kps5n_1619746702\n")
    prefix = uuid.read_prefix(path)
    assert uuid.of_cookie(prefix, int.from_bytes(COOKIE, "little")) == "ndt-kps5n_1619746702_0000000000720DD1"


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"ndt", b"ndt_", b"_1", b"host_1619746702_unsafe", b"a/b_1", b"\xff_1", b"a_1 b_2"]
)
def test_a_prefix_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "prefix"
    path.write_bytes(content)
    with pytest.raises(uuid.UuidError, match=re.escape(str(path))):
        uuid.read_prefix(path)


def test_a_missing_prefix_file_says_who_makes_it(tmp_path: Path) -> None:
    with pytest.raises(uuid.UuidError, match="run create-uuid-prefix-file first"):
        uuid.read_prefix(tmp_path / "prefix")


def test_two_accepted_sockets_share_the_prefix_and_differ_and_keep_their_names() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()),
        server.accept()[0] as one,
        socket.create_connection(server.getsockname()),
        server.accept()[0] as two,
    ):
        names = [uuid.of_socket("a_1", connection) for connection in (one, two, one)]
    assert names[0] == names[2] != names[1]
    assert all(re.fullmatch(r"a_1_[0-9A-F]{16}", name) for name in names)


def test_a_closed_socket_has_no_name() -> None:
    connection = socket.socket()
    connection.close()
    with pytest.raises(uuid.UuidError, match="no cookie"):
        uuid.of_socket("a_1", connection)
