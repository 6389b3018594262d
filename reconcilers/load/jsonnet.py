"""Jsonnet behind one small door: a file under `jsonnet/` is a function of one derived document.

`rjsonnet` (jrsonnet) does the work, because it takes seconds where the other bindings take a minute and more. It is
given no file system: every import comes through a callback that serves only what lies under the root, so a file can
read neither `/etc/passwd` nor the rest of the checkout, and a result depends on nothing but what its cache key names:
the document, the file, everything it imports, the engine and this module's version.

Jsonnet has no computed imports, so the imports of a file are known without evaluating it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import rjsonnet

from reconcilers.core.errors import ConfigError
from reconcilers.core.model import Json, Span
from reconcilers.load import codes
from reconcilers.load.cache import Cache

RENDERER = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
"""Part of every cache key: what this module does with a document and files decides the result."""
MAX_FRAMES = 3
_ENGINE = str(vars(rjsonnet)["__version__"])
_SHOWN = "jsonnet"
_ENTRY = "<entry>"
_NONE: Mapping[str, str] = {}

_IMPORT = re.compile(
    r"""\bimport(?:str|bin)?\b(?:\s|/\*.*?\*/|//[^\n]*\n|\#[^\n]*\n)*@?(?:"([^"\n]*)"|'([^'\n]*)')""", re.S
)
_FRAME = re.compile(r"^\s+(?P<file>\S[^:]*):(?P<line>\d+):(?P<column>\d+)(?:-[\d:]+)?(?::\s+(?P<what>.*))?$")
_NO_FIELD = re.compile(r"no such field: (\w+)")
_NO_FILE = re.compile(r"(\S+) is no file below ")


@dataclass(frozen=True, slots=True)
class _File:
    """One source as it was read: the stat that it had, its text and digest, and what it imports."""

    stamp: tuple[int, int, int]
    text: str
    digest: str
    imports: tuple[str, ...]


class Engine:
    """Evaluates files under one directory, through a cache if it has one; messages call the directory `shown`.

    `still` promises that no file changes while this engine lives: what a file imports is then looked up once, not for
    each document.
    """

    def __init__(self, root: Path, cache: Cache | None, *, shown: str = _SHOWN, still: bool = False) -> None:
        self._closures: dict[str, dict[str, _File]] | None = {} if still else None
        self._root = root.resolve()
        self._cache = cache
        self._shown = shown
        self._files: dict[str, _File] = {}

    def evaluate(self, path: str, document: Json, *, source: Span) -> Any:
        """The value of `path` (relative to the root), called with `document`. Raises `ConfigError`.

        `source` is the line of the configuration on whose behalf this is rendered; an error names it.
        """
        text = json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        sources = self._closure(path, source)
        call = f"function(text) (import '{_ENTRY}')(document=std.parseJson(text))"
        if self._cache is None:
            return json.loads(self._run(path, call, sources, source, tla={"text": text}))
        key = _key(path, text, sources)
        rendered = self._cache.get(key)
        if rendered is None:
            rendered = self._run(path, call, sources, source, tla={"text": text})
            self._cache.put(key, rendered)
        return json.loads(rendered)

    def inspect(self, path: str, call: str, variables: Mapping[str, str], *, source: Span) -> Any:
        """What a function makes of the value of `path`: for files that are not ours and take external variables.

        `call` is jsonnet source of a function of one argument. Not cached. Raises `ConfigError`.
        """
        sources = self._closure(path, source)
        return json.loads(self._run(path, f"({call})(import '{_ENTRY}')", sources, source, ext=variables))

    def _run(
        self,
        path: str,
        call: str,
        sources: dict[str, _File],
        source: Span,
        *,
        tla: Mapping[str, str] = _NONE,
        ext: Mapping[str, str] = _NONE,
    ) -> str:
        def serve(base: str, name: str) -> tuple[str, str]:
            wanted = path if name == _ENTRY else self._resolve(base, name)
            if wanted not in sources:
                raise FileNotFoundError(f"{name} is no file below {self._shown}/")
            return f"{self._shown}/{wanted}", sources[wanted].text

        try:
            made = rjsonnet.evaluate_snippet(
                _ENTRY, call, tla_vars=dict(tla), ext_vars=dict(ext), import_callback=serve
            )
            return str(made)
        except RuntimeError as error:
            raise _explained(str(error), path, sources, source, self._shown) from None

    def _closure(self, path: str, source: Span) -> dict[str, _File]:
        """The file and all that it imports. An import that is missing or outside is left for the evaluation to refuse:
        it may stand in a comment."""
        if self._closures is not None and path in self._closures:
            return self._closures[path]
        found: dict[str, _File] = {}
        waiting = [path]
        while waiting:
            name = waiting.pop()
            if name in found:
                continue
            file = self._read(name)
            if file is None:
                continue
            found[name] = file
            folder = f"{self._shown}/{PurePosixPath(name).parent}"
            waiting.extend(self._resolve(folder, wanted) for wanted in file.imports)
        if path not in found:
            message = f"{self._shown}/{path} is not a text file below {self._root}; see --root"
            raise ConfigError(f"{source}: {message}", [codes.JSONNET.at(source, message)])
        if self._closures is not None:
            self._closures[path] = found
        return found

    def _resolve(self, base: str, name: str) -> str:
        """An import as a path below the root: beside the importing file first, then from the root itself.

        What leads outside keeps its `..` or its leading slash, and is then nowhere to be found.
        """
        at = PurePosixPath(base)
        folder = at.relative_to(self._shown) if at.is_relative_to(self._shown) else None
        beside = _normal(folder / name) if folder is not None else name
        return beside if self._read(beside) is not None else _normal(PurePosixPath(name))

    def _read(self, name: str) -> _File | None:
        """A source, read again when its stat moved; None if it is absent, outside the root or no text."""
        if name.startswith(("/", "..")):
            return None
        try:
            real = (self._root / name).resolve()
            if not real.is_relative_to(self._root) or not real.is_file():
                return None
            status = real.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            known = self._files.get(name)
            if known is not None and known.stamp == stamp:
                return known
            text = real.read_bytes().decode()
        except (OSError, ValueError):
            return None
        imports = tuple(double or single for double, single in _IMPORT.findall(text))
        file = _File(stamp, text, hashlib.sha256(text.encode()).hexdigest(), imports)
        self._files[name] = file
        return file


def _normal(path: PurePosixPath) -> str:
    """A path without `.` and inner `..`; a leading `..` or slash stays."""
    parts: list[str] = []
    for part in path.parts:
        if part == ".." and parts and parts[-1] not in ("..", "/"):
            parts.pop()
        elif part != ".":
            parts.append(part)
    return str(PurePosixPath(*parts))


def _key(path: str, text: str, sources: dict[str, _File]) -> str:
    digest = hashlib.sha256(f"{RENDERER}\nrjsonnet {_ENGINE}\n{path}\n".encode())
    for name in sorted(sources):
        digest.update(f"{name} {sources[name].digest}\n".encode())
    digest.update(text.encode())
    return digest.hexdigest()


def _explained(error: str, path: str, sources: dict[str, _File], source: Span, shown: str) -> ConfigError:
    """The engine's message as one problem: at our innermost frame, with two more, and the YAML line behind it."""
    message, frames = _parts(error, shown)
    if not frames:
        frames = [*_guess(message, sources, shown), (Span(f"{shown}/{path}"), "")][:1]
    innermost = frames[0][0]
    related = tuple((span, what) for span, what in frames[1:])
    hint = "`mlab render` prints what a correct file gives"
    problem = codes.JSONNET.at(innermost, f"{message} (rendering {source})", related=related, hint=hint)
    trail = "".join(f"; called at {span}" for span, _ in related)
    return ConfigError(f"{innermost}: {message}{trail}; while rendering {source}", [problem])


def _parts(error: str, shown: str) -> tuple[str, list[tuple[Span, str]]]:
    """The message, and at most three frames that lie in files of ours."""
    lines = error.splitlines()
    message: list[str] = []
    frames: list[tuple[Span, str]] = []
    for line in lines:
        match = _FRAME.match(line)
        if match is None:
            if not frames and not line.startswith("    "):
                message.append(line.strip())
        elif match["file"].startswith(f"{shown}/"):
            frames.append((Span(match["file"], int(match["line"]), int(match["column"])), match["what"] or ""))
    text = " ".join(part for part in message if part)
    for noise in ("runtime error: ", "import_callback error: ", "FileNotFoundError: "):
        text = text.removeprefix(noise)
    return text, frames[:MAX_FRAMES]


def _guess(message: str, sources: dict[str, _File], shown: str) -> Iterator[tuple[Span, str]]:
    """The engine gives some errors no place: a missing field, a refused import. It is where that name is written, if
    only one place in the files concerned writes it."""
    field, wanted = _NO_FIELD.search(message), _NO_FILE.match(message)
    if field is not None:
        pattern = rf"""\.{field[1]}\b|\[["']{field[1]}["']\]"""
    elif wanted is not None:
        pattern = rf"""["']{re.escape(wanted[1])}["']"""
    else:
        return
    places = [
        _place(f"{shown}/{name}", file.text, found.start())
        for name, file in sorted(sources.items())
        for found in re.finditer(pattern, file.text)
    ]
    if len(places) == 1:
        yield places[0], ""


def _place(file: str, text: str, offset: int) -> Span:
    return Span(file, text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset))
