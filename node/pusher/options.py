"""The command line of pusher: its flags, as the public platform has them, and the settings that they make."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from node import flags, metrics
from node.pusher import lines, names, tar
from node.pusher.settings import Datatype, Settings, StartError, Table, Times
from node.pusher.timers import Wait


def _ratios(text: str) -> dict[str, str]:
    """`a=0.5,b`: a bare name is 1."""
    return flags.key_values(",".join(word if "=" in word else f"{word}=1" for word in flags.words(text)))


SHARED = (
    flags.Flag("state_directory", str, "", "where journals and bundles are kept; empty: .pusher beside the datatypes"),
    flags.Flag("archive_max_files", flags.integer, 10_000, "files of a bundle at most"),
    flags.Flag("drain_time", flags.duration_s, 55.0, "time that the last upload may take at the end"),
    metrics.LISTEN,
)
FLAGS = (
    flags.Flag("project", str, "mlab-sandbox", "the project; only logged"),
    flags.Flag("directory", str, "/var/spool", "folder with one folder for each datatype"),
    flags.Flag("bucket", str, "pusher-mlab-sandbox", "the bucket that bundles go to"),
    flags.Flag("experiment", str, "exp", "name of the experiment"),
    flags.Flag("mlab_node_name", str, "mlab4.abc0t.measurement-lab.org", "name of the machine, if -node_name is empty"),
    flags.Flag("node_name", str, "", "what object names call the machine"),
    flags.Flag(
        "datatype", _ratios, {}, "NAME, or NAME=RATIO to archive a part; repeatable", lambda old, new: {**old, **new}
    ),
    flags.many("autoload", "datatypes that become JSONL, as jostler's; repeatable"),
    flags.pairs("metadata", "KEY=VALUE that each member of a bundle carries; repeatable"),
    flags.Flag("archive_size_threshold", flags.byte_count, 20_000_000, "a bundle that is larger is uploaded"),
    flags.Flag("archive_wait_time_min", flags.duration_s, 1800.0, "a bundle waits so long at least"),
    flags.Flag("archive_wait_time_expected", flags.duration_s, 3600.0, "in the mean"),
    flags.Flag("archive_wait_time_max", flags.duration_s, 7200.0, "at most"),
    flags.Flag("cleanup_interval", flags.duration_s, 3600.0, "time between searches for old files, in the mean"),
    flags.Flag("cleanup_interval_max", flags.duration_s, 14400.0, "at most"),
    flags.Flag("max_file_age", flags.duration_s, 14400.0, "a file not written to for so long is looked for"),
    flags.Flag("sigterm_wait_time", flags.duration_s, 150.0, "time between the first and the last upload at the end"),
    flags.Flag("upload_timeout", flags.duration_s, 3600.0, "an attempt to upload ends after so long"),
    flags.Flag("dry_run", flags.boolean, False, "check everything, and end"),
    *lines.FLAGS,
    *SHARED,
)


def settings(given: dict[str, Any]) -> Settings:
    """Raises `StartError`."""
    if not given["datatype"] and not given["autoload"]:
        raise StartError("no -datatype; give at least one")
    twice = given["datatype"].keys() & set(given["autoload"])
    if twice:
        raise StartError(f"-datatype and -autoload both have {', '.join(sorted(twice))}")
    above = Path(given["directory"])
    of = _archived(given, above)
    experiment, machine = uniform("experiment", given["experiment"]), machine_name(given)
    if wrong := tar.metadata_error(given["metadata"]):
        raise StartError(f"-metadata: {wrong}")
    forms: dict[str, Any] = {
        each.name: tar.Format(experiment, each.name, machine, given["metadata"], given["archive_size_threshold"])
        for each in of
    }
    tables: dict[str, Table] = {}
    if given["autoload"]:
        where = lines.Where(given["bucket"], experiment, machine, above, tuple(given["autoload"]))
        for made, form, table in lines.datatypes(given, where, given["max_file_age"]):
            of, forms[made.name], tables[made.name] = (*of, made), form, table
    return Settings(
        given["bucket"],
        of,
        forms,
        tables,
        _times(given),
        given["prometheusx_listen_address"],
        given["dry_run"],
        0.0,
    )


def _archived(given: dict[str, Any], above: Path) -> tuple[Datatype, ...]:
    wait = _wait(given, "archive_wait_time_min", "archive_wait_time_expected", "archive_wait_time_max")
    if given["archive_max_files"] < 1:
        raise StartError(f"-archive_max_files {given['archive_max_files']} is not above 0")
    made = []
    for name, ratio in given["datatype"].items():
        try:
            share = float(ratio)
        except ValueError:
            share = -1.0
        if not 0 <= share <= 1:
            raise StartError(f"-datatype {name}={ratio}: the ratio is not from 0 to 1")
        state = Path(given["state_directory"] or above / ".pusher") / uniform("datatype", name)
        made.append(Datatype(name, above / name, state, share, wait, given["archive_max_files"], given["max_file_age"]))
    return tuple(made)


def _times(given: dict[str, Any]) -> Times:
    every = Wait(0.0, given["cleanup_interval"], given["cleanup_interval_max"])
    if every.error() or every.expected_s <= 0:
        raise StartError(f"-cleanup_interval, -cleanup_interval_max: {every.error() or 'is not above 0'}")
    if given["upload_timeout"] <= 0:
        raise StartError(f"-upload_timeout {given['upload_timeout']:g} s is not above 0")
    return Times(every, given["sigterm_wait_time"], given["drain_time"], given["upload_timeout"])


def _wait(given: Mapping[str, Any], *attributes: str) -> Wait:
    made = Wait(*(given[each] for each in attributes))
    if made.error():
        raise StartError(f"-{', -'.join(attributes)}: {made.error()}")
    return made


def uniform(flag: str, name: str) -> str:
    """A name that object names may have. Raises `StartError`."""
    if not names.UNIFORM.fullmatch(name):
        raise StartError(f"-{flag} {name!r} is not made of a-z and 0-9, beginning with a letter")
    return name


def machine_name(given: dict[str, Any]) -> str:
    """What object names call the machine. Raises `StartError`."""
    if given["node_name"]:
        if re.search(r"[/\x00-\x1f]", given["node_name"]):
            raise StartError(f"-node_name {given['node_name']!r} has a slash or a control character")
        return str(given["node_name"])
    try:
        return names.node(given["mlab_node_name"])
    except names.UnknownMachine as error:
        raise StartError(f"-mlab_node_name: {error}") from None
