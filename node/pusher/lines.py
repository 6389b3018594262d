"""Datatypes that become JSONL: the flags that jostler has for them, and what these make."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node import flags
from node.pusher import jsonl, schema
from node.pusher.settings import Datatype, StartError, Table
from node.pusher.timers import Wait

FLAGS = (
    flags.Flag("gcs-data-dir", str, "autoload/v1", "what names of objects with lines begin with"),
    flags.Flag("organization", str, "", "required where -gcs-data-dir has no autoload/v1, forbidden where it has"),
    flags.Flag("upload-schema", flags.boolean, True, "write the table's description where it is new or has new fields"),
    flags.Flag("bundle-size-max", flags.integer, 20 << 20, "bytes of lines of a bundle at most"),
    flags.Flag("bundle-age-max", flags.duration_s, 3600.0, "a bundle of lines is uploaded after so long"),
    flags.many("extensions", "names of files with lines end so; .json if none is given"),
    flags.many("datatype-schema-file", "DATATYPE:PATH of the fields; repeatable"),
)
_NAME = re.compile(r"[a-zA-Z0-9_-]+")
_ORGANIZATION = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Where:
    """What all of them have in common; `above` has a folder for each."""

    bucket: str
    experiment: str
    machine: str
    above: Path
    names: tuple[str, ...]
    schemas: Path | None = None


def prefix(given: dict[str, Any]) -> str:
    """Raises `StartError`."""
    first, organization = given["gcs_data_dir"].strip("/"), given["organization"]
    if "autoload/v1" in first and organization:
        raise StartError(f"-organization {organization!r} with -gcs-data-dir {first}: give it without autoload/v1 only")
    if "autoload/v1" not in first and not _ORGANIZATION.fullmatch(organization):
        raise StartError(f"-organization {organization!r} is not made of a-z and 0-9; {first} needs one")
    return f"{first}/{organization}" if organization else first


def tables(given: dict[str, Any], where: Where) -> dict[str, list[dict[str, Any]]]:
    """By datatype. Raises `StartError`."""
    for name in where.names:
        if not _NAME.fullmatch(name):
            raise StartError(f"-datatype {name!r} is not made of a-z A-Z 0-9 _ -")
    folder = where.schemas or where.above / "datatypes"
    try:
        found = schema.files({name: folder / f"{name}.json" for name in where.names}, given["datatype_schema_file"])
        return {name: schema.table(path) for name, path in found.items()}
    except schema.SchemaError as error:
        raise StartError(str(error)) from None


def datatypes(
    given: dict[str, Any], where: Where, max_file_age_s: float
) -> Iterator[tuple[Datatype, jsonl.Format, Table]]:
    """Raises `StartError`."""
    begin = prefix(given)
    size, age_s = given["bundle_size_max"], given["bundle_age_max"]
    if size < 1 or age_s <= 0:
        raise StartError(f"-bundle-size-max {size}, -bundle-age-max {age_s:g} s: not above 0")
    state = Path(given["state_directory"] or where.above / ".pusher")
    for name, fields in tables(given, where).items():
        root = where.above / name
        target = jsonl.Target(
            bucket=where.bucket,
            prefix=begin,
            experiment=where.experiment,
            datatype=name,
            machine=where.machine,
            commit=os.environ.get("GIT_SHORT_COMMIT", ""),
            root=root,
            extensions=tuple(given["extensions"] or (".json",)),
            max_bytes=size,
        )
        wait = Wait(age_s, age_s, age_s)
        made = Datatype(name, root, state / name, 1.0, wait, given["archive_max_files"], max_file_age_s)
        described = schema.object_name(given["gcs_data_dir"].strip("/"), where.experiment, name)
        yield made, jsonl.Format(target), Table(described, fields, given["upload_schema"])
