"""The command line of jostler, the public platform's program for JSON datatypes: the same engine, all of it lines.

`-local` only writes the tables' descriptions into the current folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from node import flags
from node.pusher import lines, names, options, schema
from node.pusher.settings import Settings, StartError, Times
from node.pusher.timers import Wait

FLAGS = (
    flags.Flag("gcs-bucket", str, "", "the bucket that bundles go to; required"),
    flags.Flag("mlab-node-name", flags.text_or_file, "", "name of the machine, or @FILE with it; required"),
    flags.Flag("local-data-dir", str, "/var/spool", "files are in LOCAL-DATA-DIR/EXPERIMENT/DATATYPE/YYYY/MM/DD"),
    flags.Flag("experiment", str, "", "name of the experiment; required"),
    flags.many("datatype", "datatypes; repeatable"),
    flags.Flag("missed-age", flags.duration_s, 10_800.0, "a file not written to for so long is looked for"),
    flags.Flag("missed-interval", flags.duration_s, 1800.0, "time between searches for such files"),
    flags.Flag("local", flags.boolean, False, "write DATATYPE-table.json into the current folder, and end"),
    flags.Flag("verbose", flags.boolean, False, "accepted, without effect"),
    flags.Flag("test-interval", flags.duration_s, 0.0, "end after so long; 0: run until told"),
    flags.Flag("sigterm_wait_time", flags.duration_s, 40.0, "time between the first and the last upload at the end"),
    flags.Flag("upload_timeout", flags.duration_s, 3600.0, "an attempt to upload ends after so long"),
    *lines.FLAGS,
    *options.SHARED,
)


def meant(arguments: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether a command line is jostler's: it names its bucket as jostler does, and not as pusher does. `-local` is
    jostler's alone."""
    given = {word.lstrip("-").partition("=")[0] for word in arguments if word.startswith("-")}
    if given & {"gcs-bucket", "local"}:
        return "bucket" not in given
    return "bucket" not in given and "BUCKET" not in environment and "GCS_BUCKET" in environment


def _where(given: dict[str, Any]) -> lines.Where:
    if not given["experiment"]:
        raise StartError("no -experiment; give one")
    if not given["datatype"]:
        raise StartError("no -datatype; give at least one")
    machine = ""
    if given["mlab_node_name"] or not given["local"]:
        if not given["mlab_node_name"]:
            raise StartError("no -mlab-node-name; give one, or set MLAB_NODE_NAME")
        try:
            machine = names.node(given["mlab_node_name"].strip())
        except names.UnknownMachine as error:
            raise StartError(f"-mlab-node-name: {error}") from None
    above = Path(given["local_data_dir"])
    return lines.Where(
        given["gcs_bucket"],
        given["experiment"],
        machine,
        above / given["experiment"],
        tuple(given["datatype"]),
        above / "datatypes",
    )


def settings(given: dict[str, Any]) -> Settings:
    """Raises `StartError`."""
    where = _where(given)
    if not given["gcs_bucket"]:
        raise StartError("no -gcs-bucket; give one")
    every_s = given["missed_interval"]
    if every_s <= 0 or given["upload_timeout"] <= 0:
        raise StartError(f"-missed-interval {every_s:g} s, -upload_timeout {given['upload_timeout']:g} s: not above 0")
    made = list(lines.datatypes(given, where, given["missed_age"]))
    for datatype, _, _ in made:
        datatype.root.mkdir(mode=0o755, parents=True, exist_ok=True)
    return Settings(
        given["gcs_bucket"],
        tuple(datatype for datatype, _, _ in made),
        {datatype.name: form for datatype, form, _ in made},
        {datatype.name: table for datatype, _, table in made},
        Times(
            Wait(every_s, every_s, every_s), given["sigterm_wait_time"], given["drain_time"], given["upload_timeout"]
        ),
        given["prometheusx_listen_address"],
        False,
        given["test_interval"],
    )


def local(given: dict[str, Any]) -> int:
    """`-local`. Raises `StartError` and `OSError`."""
    lines.prefix(given)
    for name, fields in lines.tables(given, _where(given)).items():
        path = Path(f"{name}-table.json")
        path.write_bytes(schema.encode(fields))
    return 0
