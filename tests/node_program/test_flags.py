"""Flags and variables of a node's programs: what manifests and images give them must mean what it always meant."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from node import flags

FLAGS = (
    flags.Flag("output", str, "", "a folder"),
    flags.Flag("reps", flags.integer, 0, "a number"),
    flags.Flag("trace", flags.boolean, False, "a switch"),
    flags.Flag("wait.time", flags.duration_s, 150.0, "a time"),
    flags.Flag("mlab_node_name", str, "mlab1", "a name"),
    flags.Flag("4th", flags.byte_count, 0, "a size"),
    flags.many("datatype", "names"),
    flags.pairs("metadata", "keys and values"),
)


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """A program's start sets up the logging of its process, which is that of all tests here."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def parsed(*words: str, **environment: str) -> dict[str, Any]:
    return flags.parse(FLAGS, words, environment)


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (("-output=/a=b",), "output", "/a=b"),
        (("--output=",), "output", ""),
        (("-output", "-reps"), "output", "-reps"),
        (("-reps", "-3"), "reps", -3),
        (("-trace",), "trace", True),
        (("-trace=F",), "trace", False),
        (("--trace=true",), "trace", True),
        (("-wait.time=1h30m",), "wait_time", 5400.0),
        (("-datatype=a,b", "-datatype", "c"), "datatype", ["a", "b", "c"]),
        (("-metadata=a=1,b=x=y", "-metadata=a=2"), "metadata", {"a": "2", "b": "x=y"}),
        (("-reps=1", "-reps=2"), "reps", 2),
    ],
)
def test_the_command_line_is_read_as_ever(words: tuple[str, ...], name: str, value: object) -> None:
    assert parsed(*words)[name] == value


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-nothing=1",), "flag -nothing is not defined"),
        (("-output",), "flag -output needs a value"),
        (("-trace", "true"), "'true' is no flag"),
        (("---trace",), "'---trace' is no flag"),
        (("-",), "'-' is no flag"),
        (("--",), "'--' is no flag"),
        (("-=1",), "'-=1' is no flag"),
        (("-trace=maybe",), "neither true nor false"),
        (("-reps=1.5",), "no whole number"),
        (("-wait.time=5",), "no duration"),
        (("-metadata=a",), "no KEY=VALUE"),
        (("-metadata=a=@/nowhere/x",), "cannot be read"),
    ],
)
def test_a_wrong_command_line_is_said(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(flags.UsageError) as caught:
        parsed(*words)
    assert said in str(caught.value)


def test_variables_give_what_the_command_line_does_not(caplog: pytest.LogCaptureFixture) -> None:
    found = parsed("-output=here", OUTPUT="there", MLAB_NODE_NAME="", WAIT_TIME="10ms", _4TH="5K", DATATYPE="a,b")
    assert [found[name] for name in ("output", "mlab_node_name", "wait_time", "4th", "datatype", "reps")] == [
        "here",
        "",
        0.01,
        5000,
        ["a", "b"],
        0,
    ]
    assert "OUTPUT is not used" in caplog.text


def test_a_wrong_variable_is_said() -> None:
    with pytest.raises(flags.VariableError, match="REPS: 'x' is no whole number"):
        parsed(REPS="x")


def test_defaults_are_not_shared_between_calls() -> None:
    parsed("-datatype=a")
    assert parsed()["datatype"] == [] and parsed("-datatype=b")["datatype"] == ["b"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("150s", 150.0), ("1h30m", 5400.0), ("10ms", 0.01), ("1.5h", 5400.0), ("-2m", -120.0), ("0", 0.0), ("5us", 5e-6)],
)
def test_durations(text: str, seconds: float) -> None:
    assert flags.duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "1", "s", "1x", "1s ", "1s2", "--1s", "1h-1m"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        flags.duration_s(text)


@pytest.mark.parametrize(
    ("text", "count"),
    [("2", 2), ("2B", 2), ("1KB", 1000), ("5K", 5000), ("20MB", 20_000_000), ("3M", 3_000_000), ("7G", 7_000_000_000)],
)
def test_numbers_of_bytes(text: str, count: int) -> None:
    assert flags.byte_count(text) == count


@pytest.mark.parametrize("text", ["", "1 K", "1KB4BG", "K", "-3K", "abc12KB", "12KBabc", "1k", "1KiB"])
def test_what_is_no_number_of_bytes(text: str) -> None:
    with pytest.raises(ValueError, match="no number of bytes"):
        flags.byte_count(text)


def test_files_behind_an_at_sign_are_read(tmp_path: Path) -> None:
    path = tmp_path / "value"
    path.write_text(" x \n")
    assert flags.key_values(f"a=@{path}") == {"a": "x"}
    assert flags.text_or_file(f"@{path}") == " x \n"
    assert flags.text_or_file("x") == "x"


def test_help_prints_every_flag_and_succeeds(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        flags.start("tool", FLAGS, ["--help"], {})
    assert caught.value.code == 0
    printed = capsys.readouterr().out
    assert all(f"  -{flag.name}  [{flag.variable}]" in printed for flag in FLAGS)


@pytest.mark.parametrize(("words", "environment", "status"), [(["-x"], {}, 2), ([], {"REPS": "x"}, 1)])
def test_wrong_input_ends_the_program(words: list[str], environment: dict[str, str], status: int) -> None:
    with pytest.raises(SystemExit) as caught:
        flags.start("tool", FLAGS, words, environment)
    assert caught.value.code == status


def test_the_final_value_of_every_flag_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    flags.start("tool", FLAGS, ["-reps=7"], {"OUTPUT": "there"})
    logged = capsys.readouterr().err
    assert "-reps=7" in logged and "-output='there'" in logged and "-trace=False" in logged
