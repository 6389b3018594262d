"""Imported sites before our own rules: what is wrong with the data is kept, and each file says so with a reason.

The files are laid out beside the rest of the destination's configuration and loaded as `mlab validate` loads them. A
rule that an imported site breaks becomes an `allow` entry of its file; then everything is judged again, until the
result stands by itself. What cannot be allowed, the form of a value or a name, is a problem of the source and ends the
import. Rules that are still warnings are allowed as well: an import must not turn invalid when their day comes.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from reconcilers.core.model import Diagnostic
from reconcilers.fleet import rules
from reconcilers.load import fleet as loading

REASONS: Mapping[str, str] = {
    "S02": "imported: the inventory gives both sites these addresses",
    "S03": "imported: the days are the inventory's, where 2019-01-01 stands for a day that nobody noted",
    "S04": "imported: the inventory has this prefix",
    "S05": "imported: the inventory publishes these addresses, and its readers may rely on them",
    "S08": "imported: the inventory has this place for the site",
    "S09": "imported: the inventory has these coordinates and codes",
    "S10": "imported: the inventory puts the machine into this project and does not say why",
    "S11": "imported: the inventory has these days",
    "S12": "imported: the inventory writes the provider of this AS number so",
    "S15": "imported: the inventory writes the text so",
    "S16": "imported: the inventory does not say what the machine has",
}
OTHERWISE = "imported: the inventory is so"
_ROUNDS = 6
"""Rounds until nothing new is found: an object that one rule rejects is not there for the next rule to see."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """One rule that one file may break because the data does: `message` is what the rule says of it."""

    file: str
    code: str
    name: str
    message: str
    reason: str


Writer = Callable[[Sequence[Allowed]], bytes]


@dataclass(frozen=True, slots=True)
class Judged:
    """The configuration as it would be: `texts` of imported files, with what they allow.

    `source` are problems of imported files that nothing can allow, `elsewhere` are those of other files.
    """

    loaded: loading.Loaded
    texts: Mapping[str, bytes]
    allowed: tuple[Allowed, ...]
    source: tuple[Diagnostic, ...]
    elsewhere: tuple[Diagnostic, ...]


def judge(into: Path, imported: Mapping[str, Writer], others: Mapping[str, bytes]) -> Judged:
    """Load, allow, load again. `imported` makes each file out of what it is to allow; `others` are laid beside."""
    with tempfile.TemporaryDirectory(prefix="mlab-import-") as folder:
        root = Path(folder)
        if (into / "config").is_dir():
            shutil.copytree(into / "config", root / "config", symlinks=True)
        texts = {file: write(()) for file, write in imported.items()}
        for file, data in (*others.items(), *texts.items()):
            _lay(root / file, data)
        allowed: dict[tuple[str, str], Allowed] = {}
        for _ in range(_ROUNDS):
            loaded = loading.load(root)
            found = [item for item in _breaches(loaded, imported) if (item.file, item.code) not in allowed]
            if not found:
                break
            allowed |= {(item.file, item.code): item for item in found}
            for file in {item.file for item in found}:
                texts[file] = imported[file](tuple(item for key, item in sorted(allowed.items()) if key[0] == file))
                _lay(root / file, texts[file])
    ours = [problem for problem in loaded.problems if problem.span.file in imported]
    rest = [problem for problem in loaded.problems if problem.span.file not in imported]
    return Judged(loaded, texts, tuple(item for _, item in sorted(allowed.items())), tuple(ours), tuple(rest))


def _breaches(loaded: loading.Loaded, imported: Collection[str]) -> Iterator[Allowed]:
    """What imported files break that they might allow; of several problems of one rule the first one speaks.

    Not what they break together with sites that were there before: that is for a person to settle.
    """
    known = {rule.code for rule in rules.ALL if rule.allowable}
    found: dict[tuple[str, str], list[Diagnostic]] = {}
    for problem in (*loaded.problems, *loaded.warnings):
        concerned = {problem.span.file, *(s.file for s, _ in problem.related if s.file.startswith("config/sites/"))}
        if problem.code in known and concerned <= set(imported):
            found.setdefault((problem.span.file, problem.code), []).append(problem)
    for (file, code), problems in found.items():
        more = f" (and {len(problems) - 1} more)" if problems[1:] else ""
        reason = REASONS.get(code, OTHERWISE)
        yield Allowed(file, code, problems[0].name, f"{problems[0].message}{more}", reason)


def _lay(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
