"""Puts imported files into a repository, and overwrites nothing that somebody else wrote without being told to.

`config/.imported` lists each file that an import wrote, with the digest of what it wrote, in the form of `sha256sum`.
A file that has that digest still is ours to bring up to date; one that differs was edited since, or was never ours.
All is judged before anything is written; every file is put in place by a rename, the list last, so that a run that died
half-way is repeated and ends the same.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from reconcilers.core.errors import MlabError, Refused

LIST = "config/.imported"
_HEAD = (
    "# What `mlab import` wrote, as it wrote it: a file with another digest was edited since. Keep this beside it.\n"
)
_LINE = re.compile(r"([0-9a-f]{64})  (config/[a-z]+/[^/\n]+)\Z")
_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Verdict:
    """What would become of each file. `foreign` differ and are not ours; `gone` are ours and not imported any more.

    `others` are sites of the destination that no import wrote.
    """

    created: tuple[str, ...]
    updated: tuple[str, ...]
    unchanged: tuple[str, ...]
    foreign: tuple[str, ...]
    gone: tuple[str, ...]
    others: tuple[str, ...]


def refuse_links(into: Path, folders: Iterable[str]) -> None:
    """Raises `Refused` if a folder of config/ is a link out of the repository: writing would change what lies there."""
    for folder in folders:
        path = into / "config" / folder
        if not path.resolve().is_relative_to(into.resolve()):
            raise Refused(f"{path} is a link out of {into}; make it a folder")


def judge(into: Path, files: Mapping[str, bytes]) -> Verdict:
    """Compare what is to be written with what is there."""
    listed = _listed(into)
    kinds: dict[str, list[str]] = {"created": [], "updated": [], "unchanged": [], "foreign": []}
    for file, data in sorted(files.items()):
        here = _bytes(into / file)
        if here is None:
            kind = "created"
        elif here == data:
            kind = "unchanged"
        else:
            kind = "updated" if listed.get(file) == _digest(here) else "foreign"
        kinds[kind].append(file)
    present = {f"config/sites/{path.name}" for path in (into / "config/sites").glob("*.yaml")}
    gone = sorted(file for file in listed if file not in files and (into / file).exists())
    others = sorted(present - files.keys() - set(gone))
    return Verdict(**{kind: tuple(names) for kind, names in kinds.items()}, gone=tuple(gone), others=tuple(others))


def refuse_foreign(verdict: Verdict) -> None:
    """Raises `Refused` if a file that is not the import's would be lost."""
    if verdict.foreign:
        names = ", ".join(verdict.foreign[:_SHOWN])
        more = f" and {len(verdict.foreign) - _SHOWN} more" if len(verdict.foreign) > _SHOWN else ""
        raise Refused(
            f"{len(verdict.foreign)} files differ from what would be imported and no import wrote them as they are: "
            f"{names}{more}; nothing was written; --replace overwrites them"
        )


def write(into: Path, files: Mapping[str, bytes], *, once: Mapping[str, bytes]) -> None:
    """Put every file in place, then the list of them. Those written `once` are not listed: they are not kept up."""
    listed = {file: digest for file, digest in _listed(into).items() if file not in files and (into / file).exists()}
    listed |= {file: _digest(data) for file, data in files.items()}
    text = "".join(f"{digest}  {file}\n" for file, digest in sorted(listed.items()))
    try:
        for file, data in sorted({**files, **once}.items()):
            _put(into / file, data)
        _put(into / LIST, (_HEAD + text).encode())
    except OSError as error:
        raise MlabError(f"{error.filename}: cannot be written: {error.strerror}; run the import again") from None


def write_folder(into: Path, files: Mapping[str, bytes]) -> None:
    """Put a whole folder in place at once: half of one would look as if somebody had chosen it so."""
    folder = (into / next(iter(files))).parent
    beside = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        beside.mkdir(parents=True)
        for file, data in files.items():
            (beside / Path(file).name).write_bytes(data)
        for other in folder.iterdir() if folder.is_dir() else ():
            other.rename(beside / other.name)
        beside.replace(folder)
    except OSError as error:
        raise MlabError(f"{error.filename}: cannot be written: {error.strerror}; run the import again") from None


def _listed(into: Path) -> dict[str, str]:
    data = _bytes(into / LIST) or b""
    matches = (_LINE.match(line) for line in data.decode(errors="replace").splitlines())
    return {match[2]: match[1] for match in matches if match}


def _put(path: Path, data: bytes) -> None:
    if _bytes(path) == data:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise MlabError(f"{path}: cannot be read: {error.strerror}; move it away, or mend it") from None


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
