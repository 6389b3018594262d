"""The directory that Prometheus and Alertmanager read: files, marks of ownership, and the journal of a batch.

Beside the two configuration trees (`prometheus/`, `alertmanager/`) lie an index of the files that are ours, and
while a batch is under way a journal with the former content of every file it touches. Both are replaced by rename,
so each is whole or absent. A journal that is still there says that a batch was cut short: what it holds is the last
state that the servers are known to have accepted, and the next batch keeps it until its own proof.

Order of a batch: journal, index with the new marks, files, (the servers' proof), index without what was deleted,
journal away. A file of ours is therefore never without its mark, and a foreign file never gets one by accident.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from reconcilers.core.errors import Permanent
from reconcilers.core.model import Id, Owner
from reconcilers.providers import whole_files

KIND = "File"
INDEX = ".mlab-owner.json"
JOURNAL = ".mlab-journal.json"
STAGE = ".mlab-stage-"
TEMPORARY = ".mlab-tmp-"
TREES = ("prometheus", "alertmanager")
CHECKED_SUFFIXES = frozenset({".yml", ".yaml", ".json", ".tmpl"})
"""What the checking programs may read; keeps a data directory that lies in the same tree out of the staging."""

_NAME = re.compile(r"(?:prometheus|alertmanager)(?:/[A-Za-z0-9_][A-Za-z0-9._-]*)+")


@dataclass(frozen=True, slots=True)
class Entry:
    """The mark of one file of ours: who wrote it last, from which commit, and what it then was."""

    owner: str
    env: str
    scope: str
    source: str
    commit: str
    sha256: str

    def mark(self) -> Owner:
        """The mark as core judges it."""
        return Owner(self.owner, self.env, self.scope, self.source, self.commit)


Index = Mapping[str, Entry]
Contents = Mapping[str, bytes | None]
"""Content by name; None where there is no file."""


def name_of(identity: Id) -> str:
    """The path of a resource below the directory. Raises `Permanent` for one that could leave it."""
    if identity.kind != KIND or not _NAME.fullmatch(identity.name) or ".." in identity.name:
        raise Permanent(f"{identity}: not a file of this target; names are prometheus/… or alertmanager/… without dots")
    return identity.name


def sha256(content: bytes | None) -> str:
    """The precondition of a write; an absent file has one too."""
    return "absent" if content is None else hashlib.sha256(content).hexdigest()


def read(directory: Path, name: str) -> bytes | None:
    """The content of a file, None if it does not exist."""
    try:
        return (directory / name).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise whole_files.failure(error, directory / name) from None


def changed_at(directory: Path, name: str) -> float:
    """When the file was last written, epoch seconds; 0 if it is absent."""
    try:
        return (directory / name).stat().st_mtime
    except FileNotFoundError:
        return 0.0
    except OSError as error:
        raise whole_files.failure(error, directory / name) from None


def write(path: Path, content: bytes) -> None:
    """Replace a file, its folder made where it is missing."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise whole_files.failure(error, path) from None
    whole_files.replace(path, content, prefix=TEMPORARY)


def put(directory: Path, name: str, content: bytes | None) -> None:
    """Make a file what it shall be; None removes it."""
    if content is None:
        whole_files.remove(directory / name)
    else:
        write(directory / name, content)


def load_index(directory: Path) -> dict[str, Entry]:
    """The files that are ours. A directory that nobody wrote to yet has none."""
    return _entries(directory / INDEX, _document(directory / INDEX))


def store_index(directory: Path, index: Index) -> None:
    """Write the marks of all files of ours."""
    write(directory / INDEX, _dump({"v": 1, "files": {name: asdict(entry) for name, entry in index.items()}}))


@dataclass(frozen=True, slots=True)
class Journal:
    """The former content of the files of an unfinished batch, and the former index."""

    files: Contents
    index: Index


def load_journal(directory: Path) -> Journal | None:
    """What a batch that was cut short left, or None."""
    document = _document(directory / JOURNAL)
    if document is None:
        return None
    try:
        former = {
            str(name): None if text is None else str(text).encode("utf-8", "surrogateescape")
            for name, text in document["files"].items()
        }
    except (KeyError, AttributeError, TypeError):
        raise Permanent(f"{directory / JOURNAL}: not a journal of ours; move it away and apply again") from None
    return Journal(former, _entries(directory / JOURNAL, document["index"]))


def begin(directory: Path, names: Iterable[str]) -> Journal:
    """Open the journal of a batch; what an unfinished one holds is older and stays."""
    unfinished = load_journal(directory)
    former = {name: read(directory, name) for name in names}
    journal = Journal(former, load_index(directory))
    if unfinished is not None:
        journal = Journal({**former, **unfinished.files}, unfinished.index)
    texts = {
        name: None if content is None else content.decode("utf-8", "surrogateescape")
        for name, content in journal.files.items()
    }
    index = {"v": 1, "files": {name: asdict(entry) for name, entry in journal.index.items()}}
    write(directory / JOURNAL, _dump({"v": 1, "files": texts, "index": index}))
    return journal


def finish(directory: Path) -> None:
    """Close the journal: the state on disk is proved, or is the former one again."""
    whole_files.remove(directory / JOURNAL)


def restore(directory: Path, journal: Journal) -> None:
    """Put back every file of the journal, then the index."""
    for name, content in sorted(journal.files.items()):
        if read(directory, name) != content:
            put(directory, name, content)
    store_index(directory, journal.index)


def sweep(directory: Path) -> None:
    """Remove what killed runs left: staging trees and temporary files. Only under the lock."""
    try:
        for left in directory.glob(STAGE + "*"):
            shutil.rmtree(left, ignore_errors=True)
        for root in (directory, *(directory / tree for tree in TREES)):
            found = root.glob(TEMPORARY + "*") if root == directory else root.rglob(TEMPORARY + "*")
            for left in found:
                left.unlink(missing_ok=True)
    except OSError as error:
        raise whole_files.failure(error, directory) from None


@contextmanager
def staged(directory: Path, changes: Contents) -> Iterator[Path]:
    """The whole tree as it would be, in a directory beside it, for the checking programs; removed at the end."""
    try:
        stage = Path(tempfile.mkdtemp(prefix=STAGE, dir=directory))
        try:
            for tree in TREES:
                _mirror(directory / tree, stage / tree)
            for name, content in changes.items():
                target = stage / name
                target.unlink(missing_ok=True)  # a link to the live file: never write through it
                if content is not None:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(content)
            yield stage
        finally:
            shutil.rmtree(stage, ignore_errors=True)
    except OSError as error:
        raise whole_files.failure(error, directory) from None


def _mirror(source: Path, target: Path) -> None:
    target.mkdir(exist_ok=True)
    for folder, folders, names in os.walk(source):
        folders[:] = [name for name in folders if not name.startswith(".")]
        there = target / Path(folder).relative_to(source)
        for name in names:
            if Path(name).suffix in CHECKED_SUFFIXES and not name.startswith("."):
                there.mkdir(parents=True, exist_ok=True)
                _link(Path(folder) / name, there / name)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)  # a file system without hard links


def _document(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise whole_files.failure(error, path) from None
    except ValueError:
        raise Permanent(f"{path}: is no JSON; restore it from a backup: it says which files are ours") from None


def _entries(path: Path, document: Any) -> dict[str, Entry]:
    if document is None:
        return {}
    try:
        entries = {str(name): Entry(**entry) for name, entry in document["files"].items()}
    except (KeyError, AttributeError, TypeError):
        raise Permanent(f"{path}: is no index of ours (version 1); restore it from a backup") from None
    for name in entries:
        name_of(Id(KIND, name))
    return entries


def _dump(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()
