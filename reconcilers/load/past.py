"""The past of the configuration out of git, as far as the rules ask (`fleet.past`).

One `git log` over three folders says which file changed in which commit; it is kept by the id of the commit that is
checked out, for what a commit has behind it never changes. Of old files only those are read on which a rule depends,
and of those only a few words: some 150 ms for the fleet, most of it for starting git's library.

Without full history (a tarball, a shallow or partial clone) there is no past at all: half of it would excuse what the
other half forbids. Nothing here fails for the state of a repository; it says why there is no past.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from reconcilers.core.errors import one_line
from reconcilers.fleet.model import Fleet
from reconcilers.fleet.past import Past, SiteVersion, Tenure
from reconcilers.load import parse
from reconcilers.load.cache import Cache, default_directory

if TYPE_CHECKING:
    from reconcilers.load.history import Repository

FOLDERS = ("config/sites", "config/experiments", "config/embargo")
MAX_BYTES = 64 * 1024 * 1024
_COMMIT = re.compile(r"^\x01([0-9a-f]+) (\d+)$")
_CHANGE = re.compile(r"^:\d+ \d+ ([0-9a-f]+) ([0-9a-f]+) ([AMDT])\t(.*)$")
_STATE = re.compile(rb"\bstate: *[\"']?(planned|active|lame-duck|retired|unlisted)\b")
_CREATED = re.compile(rb"\bcreated: *[\"']?([0-9]{4}-[0-9]{2}-[0-9]{2})\b")
_INDEX = re.compile(rb"^index: *([0-9]+|null|~)[ \t]*(?:#.*)?\r?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Change:
    """What one commit did to one file: the blobs before and after, None where there was or is none."""

    commit: str
    day: date
    before: str | None
    after: str | None


Changes = Mapping[str, tuple[Change, ...]]
"""By path relative to the root, the newest first."""


def read(root: Path, fleet: Fleet, *, cache: Cache | None = None) -> tuple[Past | None, str]:
    """The past of the fleet at `root`, or None and the reason, in a few words, why there is none."""
    if not any((folder / ".git").exists() for folder in (root.resolve(), *root.resolve().parents)):
        return None, "this is no git repository"
    import git

    from reconcilers.core.errors import MlabError
    from reconcilers.load import history

    try:
        repository = history.open_history(root)
        if repository is None:
            return None, "the repository has no commit that can be read"
        try:
            why = repository.incomplete()
            return (None, why) if why else (_Reader(root, repository, cache).past(fleet), "")
        finally:
            repository.close()
    except (git.GitError, MlabError, OSError, ValueError) as error:
        return None, one_line(f"git failed: {error}", 160)


def default_cache() -> Cache:
    """Where logs are kept between runs."""
    return Cache(default_directory().with_name("history"), max_bytes=MAX_BYTES)


class _Reader:
    """Answers the rules' questions from one repository; holds no state but what it has read."""

    def __init__(self, root: Path, repository: Repository, cache: Cache | None) -> None:
        self._root, self._repository = root, repository
        self._head = repository.head()
        self._changes = _parsed(_log(repository, self._head.sha, cache), repository.prefix)

    def past(self, fleet: Fleet) -> Past:
        sites = {_stem(path): path for path in self._changes if path.startswith("config/sites/")}
        retired = {name for name, site in fleet.sites.items() if site.lifecycle.state == "retired"}
        before = {name: self._before_retired(path) for name, path in sites.items() if name in retired}
        earlier = {name: self._earlier(path) for name, path in sites.items() if name in fleet.sites}
        rules = [path for path in self._changes if path.startswith("config/embargo/")]
        return Past(
            before_retired={name: version for name, version in before.items() if version},
            earlier={name: version for name, version in earlier.items() if version},
            tenures=tuple(self._tenures()),
            lost={_stem(path): commit for path in rules if (commit := self._lost(path)) is not None},
        )

    def _before_retired(self, path: str) -> SiteVersion | None:
        """The newest committed version that did not say retired; the file itself, if it is as committed, is known."""
        ended_in = ""
        for position, change in enumerate(self._changes[path]):
            if change.after is None:
                return None
            if position or change.after != self._present(path, change.after):
                state, created = self._site(change.after)
                if state and state != "retired":
                    return SiteVersion(ended_in, state, created)
            ended_in = change.commit
        return None

    def _lost(self, path: str) -> str | None:
        """The commit that removed a file, if it was the last one; `""` if it is gone but not in git yet; else None."""
        newest = self._changes[path][0]
        if (self._root / path).exists():
            return None
        if newest.after is not None:
            return ""
        return newest.commit if newest.commit == self._head.short else None

    def _earlier(self, path: str) -> SiteVersion | None:
        for change in self._changes[path]:
            if change.after is None and change.before is not None:
                state, created = self._site(change.before)
                return SiteVersion(change.commit, state, created)
        return None

    def _tenures(self) -> Iterator[Tenure]:
        for path, changes in self._changes.items():
            if not path.startswith("config/experiments/"):
                continue
            held: int | None = None
            since = changes[-1].day
            for change in reversed(changes):
                index = None if change.after is None else self._index(change.after)
                if index == held:
                    continue
                if held is not None:
                    yield Tenure(_stem(path), held, since, change.day, change.commit)
                held, since = index, change.day
            if held is not None:
                yield Tenure(_stem(path), held, since, None)

    def _present(self, path: str, like: str) -> str:
        """The blob that git would make of a file that is there, by the same kind of digest; `""` if there is none."""
        try:
            data = (self._root / path).read_bytes()
        except OSError:
            return ""
        return hashlib.new("sha1" if len(like) == 40 else "sha256", b"blob %d\0" % len(data) + data).hexdigest()

    def _site(self, blob: str) -> tuple[str, str]:
        """State and day of creation in an old version of a site's file; `""` for what it does not say."""
        data = self._repository.blob(blob)
        states, days = _STATE.findall(data), _CREATED.findall(data)
        if len(states) == 1 and len(days) == 1:
            return states[0].decode(), days[0].decode()
        life = _value(data).get("lifecycle")
        state, created = (life.get("state"), life.get("created")) if isinstance(life, dict) else ("", "")
        return state if isinstance(state, str) else "", created if isinstance(created, str) else ""

    def _index(self, blob: str) -> int | None:
        data = self._repository.blob(blob)
        found = _INDEX.findall(data)
        if len(found) == 1:
            return int(found[0]) if found[0].isdigit() else None
        index = _value(data).get("index")
        return index if isinstance(index, int) and not isinstance(index, bool) else None


def _value(data: bytes) -> Mapping[str, object]:
    """An old file's mapping; one that could not be read then says nothing now."""
    document, _ = parse.parse(data, "")
    return document.value if document is not None and isinstance(document.value, dict) else {}


def _stem(path: str) -> str:
    return path[path.rfind("/") + 1 : -len(".yaml")]


def _log(repository: Repository, head: str, cache: Cache | None) -> str:
    """The log behind a commit; its key is all that it depends on: the question, and the commit."""
    from reconcilers.load.history import LOG_OPTIONS, LOG_SETTINGS

    question = (*LOG_SETTINGS, *LOG_OPTIONS, *FOLDERS, repository.prefix, head)
    key = hashlib.sha256("\0".join(question).encode()).hexdigest()
    text = cache.get(key) if cache is not None else None
    if text is None:
        text = repository.log(FOLDERS)
        if cache is not None:
            cache.put(key, text)
    return text


def _parsed(log: str, prefix: str) -> Changes:
    found: dict[str, list[Change]] = {}
    commit, day = "", date.min
    for line in log.splitlines():
        if header := _COMMIT.match(line):
            commit, day = header[1][:7], datetime.fromtimestamp(int(header[2]), UTC).date()
        elif (change := _CHANGE.match(line)) and change[4].startswith(prefix) and change[4].endswith(".yaml"):
            path = change[4][len(prefix) :]
            found.setdefault(path, []).append(Change(commit, day, _blob(change[1]), _blob(change[2])))
    return {path: tuple(changes) for path, changes in found.items()}


def _blob(sha: str) -> str | None:
    return sha if sha.strip("0") else None
