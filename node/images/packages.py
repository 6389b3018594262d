"""Debian packages by name: which versions they are today, exactly, and their files by SHA-256.

Versions cannot be pinned in git, since the archive keeps only the newest. So they are resolved once, with apt and a
private state that knows of nothing installed; the list that comes out (`Resolved`) is what a build takes, goes into its
manifest, and is kept in the cache: the same list gives the same bytes, today and in a year, as long as the files are in
the cache or in the archive. `refresh` resolves anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from node.images import cache, sources
from node.images.errors import ImageError
from node.images.progress import Progress


@dataclass(frozen=True, slots=True)
class Package:
    """One binary package as the archive has it."""

    name: str
    version: str
    architecture: str
    suite: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """Packages of one suite: `closed` with all they depend on, `alone` without, `newest_of` what these stand for.

    A name in `newest_of` is a package that only depends on the one of the current version, as for kernels.
    """

    suite: str
    closed: tuple[str, ...] = ()
    alone: tuple[str, ...] = ()
    newest_of: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Resolved:
    """A list of exact packages, sorted by name."""

    packages: tuple[Package, ...]

    @property
    def digest(self) -> str:
        """Hash of the whole list: part of the key of everything that is built from it."""
        return hashlib.sha256(self.text().encode()).hexdigest()

    def text(self) -> str:
        """The list as it is kept."""
        return json.dumps([asdict(package) for package in self.packages], indent=1, sort_keys=True) + "\n"

    def version(self, name: str) -> str:
        """The version of a package that is in the list."""
        return next(package.version for package in self.packages if package.name == name)

    def names(self) -> tuple[str, ...]:
        """All names."""
        return tuple(package.name for package in self.packages)


def resolve(wanted: Sequence[Wanted], progress: Progress, *, refresh: bool = False) -> Resolved:
    """The exact packages for a wish; the list of an earlier call unless `refresh`. Raises `ImageError`."""
    key = hashlib.sha256(json.dumps([asdict(wish) for wish in wanted], sort_keys=True).encode()).hexdigest()[:16]
    kept = cache.folder("lists") / f"{key}.json"
    if kept.is_file() and not refresh:
        return load(kept.read_text())
    found: dict[str, Package] = {}
    for wish in wanted:
        progress.say(f"resolving packages of {wish.suite}")
        found.update({package.name: package for package in _resolve(wish)})
    resolved = Resolved(tuple(found[name] for name in sorted(found)))
    cache.write(kept, resolved.text().encode())
    return resolved


def load(text: str) -> Resolved:
    """The list that `Resolved.text` wrote."""
    return Resolved(tuple(Package(**item) for item in json.loads(text)))


def fetch(resolved: Resolved, progress: Progress) -> Mapping[str, Path]:
    """The file of each package by name, downloaded where the cache lacks it, every hash checked again.

    Raises `ImageError` for a version that the archive no longer has.
    """
    places = {package.name: cache.folder("packages") / f"{package.sha256}.deb" for package in resolved.packages}
    missing = [package for package in resolved.packages if not places[package.name].is_file()]
    if missing:
        size_mb = sum(package.size_bytes for package in missing) / 1e6
        progress.say(f"downloading {len(missing)} packages, {size_mb:.0f} MB")
    for suite in sorted({package.suite for package in missing}):
        _download([package for package in missing if package.suite == suite], places)
    for package in resolved.packages:
        if hashlib.sha256(places[package.name].read_bytes()).hexdigest() != package.sha256:
            places[package.name].unlink()
            raise ImageError(f"{package.name} {package.version}: the file in the cache was not intact; run it again")
    return places


def _resolve(wish: Wanted) -> list[Package]:
    with cache.turn("apt"):
        state = _State(wish.suite)
        state.update()
        names = {*wish.alone, *(state.newest(name) for name in wish.newest_of)}
        if wish.closed:
            names |= state.closure(wish.closed)
        return state.describe(sorted(names))


def _download(missing: Sequence[Package], places: Mapping[str, Path]) -> None:
    with cache.turn("apt"), tempfile.TemporaryDirectory(dir=cache.folder("packages")) as scratch:
        state = _State(missing[0].suite)
        state.run("apt-get", "download", *(f"{package.name}={package.version}" for package in missing), at=scratch)
        by_hash = {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in Path(scratch).glob("*.deb")}
        for package in missing:
            if package.sha256 not in by_hash:
                raise ImageError(
                    f"{package.name} {package.version}: what was downloaded has not the SHA-256 of the list; "
                    "resolve anew with --refresh"
                )
            by_hash[package.sha256].replace(places[package.name])


class _State:
    """apt with lists and a status of its own for one suite; the machine's packages play no part."""

    def __init__(self, suite: str) -> None:
        self._suite = suite
        self._folder = cache.folder(f"apt/{suite}")
        for name in ("lists/partial", "cache/archives/partial"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        (self._folder / "status").touch()
        (self._folder / "sources.list").write_text("\n".join(sources.lines(suite)) + "\n")

    def update(self) -> None:
        """Fetch the suite's index."""
        self.run("apt-get", "-q", "update")

    def newest(self, name: str) -> str:
        """What a package that stands for another depends on."""
        found = re.findall(r"^\s*Depends: (\S+)$", self.run("apt-cache", "depends", name), re.MULTILINE)
        if len(found) != 1:
            raise ImageError(f"{name} of {self._suite} depends on {', '.join(found) or 'nothing'}, not on one package")
        name_now: str = found[0]
        return name_now

    def closure(self, names: Sequence[str]) -> set[str]:
        """The packages and all that they depend on, on a machine that has nothing yet."""
        said = self.run("apt-get", "install", "--simulate", "--yes", "--no-install-recommends", *names)
        return set(re.findall(r"^Inst (\S+) ", said, re.MULTILINE))

    def describe(self, names: Sequence[str]) -> list[Package]:
        """The candidates of packages."""
        found = []
        for paragraph in self.run("apt-cache", "--no-all-versions", "show", *names).split("\n\n"):
            lines = [
                line.split(": ", 1) for line in paragraph.splitlines() if not line.startswith(" ") and ": " in line
            ]
            fields = dict(lines)
            if fields:
                name, version, architecture = (fields[key] for key in ("Package", "Version", "Architecture"))
                size_bytes, sha256 = int(fields["Size"]), fields["SHA256"]
                found.append(Package(name, version, architecture, self._suite, size_bytes, sha256))
        return found

    def run(self, program: str, *words: str, at: str = "/") -> str:
        """Run one of apt's programs and return what it says. Raises `ImageError`."""
        options = {
            "Dir::Etc::sourcelist": self._folder / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "Dir::State": self._folder,
            "Dir::State::status": self._folder / "status",
            "Dir::State::lists": self._folder / "lists",
            "Dir::Cache": self._folder / "cache",
            "APT::Architecture": "amd64",
            # Root's files are not readable to the user that apt would otherwise change to.
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
        }
        command = [program, *(word for key, value in options.items() for word in ("-o", f"{key}={value}")), *words]
        try:
            done = subprocess.run(
                command, cwd=at, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}, check=False
            )
        except FileNotFoundError:
            raise ImageError(f"{program} is not here: images are built on Debian or a system with apt") from None
        errors = [line for line in done.stderr.splitlines() if line.startswith("E:")]
        # `update` ends with 0 although an index could not be had; then a later step would speak of missing packages.
        if done.returncode != 0 or errors:
            raise ImageError(f"{program} {words[0]} for {self._suite}: {' '.join(errors or [done.stderr])[:400]}")
        return done.stdout
