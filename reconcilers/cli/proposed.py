"""The configuration of a commit that nobody has reviewed yet, fit to be planned with credentials.

Only data is taken from the commit: `config/` and `jsonnet/`, which is evaluated without a file system. Where the
targets are, and with which secrets and programs they are reached, stays what this checkout says: a commit that points
a target at another server would be handed the credentials there.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from reconcilers.core.errors import ConfigError
from reconcilers.fleet.model import Fleet
from reconcilers.load import fleet as loading
from reconcilers.load import parse, worktree

FOLDERS = ("config", "jsonnet")
TRUSTED = ("targets", "monitoring", "sensitive_key")
"""Keys of an environment's file that say where credentials are sent, and which ones."""


def export(root: Path, commit: str) -> tuple[Path, str]:
    """The commit's configuration in a folder that goes with this process, and its full name."""
    sha = worktree.commit(root, commit)
    folder = Path(tempfile.mkdtemp(prefix="mlab-at-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return worktree.export(root, sha, folder, FOLDERS), sha


def with_own_addresses(proposed: Fleet, own: Fleet, where: Path, root: Path) -> tuple[Fleet, tuple[str, ...]]:
    """The proposed fleet at this checkout's addresses, and a line for each environment whose own are not tried."""
    environments, notes = {}, []
    for name, environment in proposed.environments.items():
        mine = own.environments.get(name)
        if mine is None:
            notes.append(f"{environment.span.file}: {name} is new: it is planned once it is merged")
            continue
        changed = list(_changed(environment.span.file, where, root))
        if changed:
            keys = ", ".join(changed)
            notes.append(f"{environment.span.file}: {keys} as this checkout has it: the commit's is not tried")
        trusted = {key: mine.data[key] for key in TRUSTED if key in mine.data}
        rest = {key: value for key, value in environment.data.items() if key not in TRUSTED}
        environments[name] = replace(environment, data={**rest, **trusted})
    return replace(proposed, environments=environments), tuple(notes)


def own_fleet(root: Path, overlay: object) -> Fleet:
    """This checkout's own fleet; it must be valid, for its addresses are used."""
    loaded = loading.load(root, overlay=overlay if isinstance(overlay, dict) else None)
    if loaded.problems:
        raise ConfigError(f"{root} itself is invalid", loaded.problems)
    return loaded.fleet


def _changed(file: str, where: Path, root: Path) -> Iterator[str]:
    """By the files themselves: the platform on this machine is laid over both of what was loaded."""
    theirs, ours = _said(where / file, file), _said(root / file, file)
    return (key for key in TRUSTED if theirs.get(key) != ours.get(key))


def _said(path: Path, file: str) -> Mapping[str, Any]:
    document, _ = parse.parse(path.read_bytes(), file) if path.is_file() else (None, [])
    return document.value if document is not None and isinstance(document.value, dict) else {}
