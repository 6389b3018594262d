"""Random edits of a valid configuration, as hypothesis draws and shrinks them: values, text, whole files."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from reconcilers.load import parse
from tests import fleets

ACK = """\
kind: Ack
name: small
reason: the second machine of lga05 goes back
expires: 2027-01-31
allow:
  - {action: delete, match: "*/epoxy/Host/mlab2-lga05.*", max: 1}
"""
NETWORK = """\
kind: Network
name: as64500
asn: 64500
names: [Example Transit, Example Carrier]
reason: the two became one in 2024
"""


def _files() -> dict[str, str]:
    found = {**fleets.FILES, "config/acks/small.yaml": ACK, "config/networks/as64500.yaml": NETWORK}
    for folder in ("zones", "images"):
        for path in sorted((fleets.CHECKOUT / "config" / folder).glob("*.yaml")):
            if "type: boot" not in path.read_text():
                found[f"config/{folder}/{path.name}"] = path.read_text()
    return found


FILES: Mapping[str, str] = _files()
"""The small fleet with one file of every kind."""
PATHS = sorted(FILES)
_WEIGHTS = {"sites": 5, "experiments": 5, "alerts": 3, "embargo": 3, "buckets": 2}
CHOSEN = [path for path in PATHS for _ in range(_WEIGHTS.get(path.split("/")[1], 1))]
"""Paths by how much the rules have to say of their kind."""

_TEXTS = (
    *(
        "",
        " ",
        "a",
        "NO",
        "on",
        "null",
        "true",
        "~",
        "0",
        "-1",
        "1e3",
        "0x10",
        "12:30",
        "é",
        "\u2028",
        "\x00",
        "\U0001f600",
    ),
    *("0001-01-01", "9999-12-31", "2028-02-29", "2026-02-30", "2019-01-01", "365d", "366d", "1h", "latest", "v0.0.0"),
    *(
        "\x00",
        "\U0001f600",
        "198.18.0.240/28",
        "198.18.0.248/29",
        "10.0.0.0/26",
        "::/64",
        "255.255.255.255",
        "::",
        "zzz99",
    ),
    *("mlab-x", "S05", "S14", "W01", "x.y", "ws:///x", "wss://:99999/x", "9990-9989", "65536", "up{", "(" * 90),
    *("{{ $labels.x }}", "{project}", "{a}{b}", "a" * 64, "x" * 5000, "../../etc/passwd", "-----", "[", "&a", "*a"),
)
_NUMBERS = (0, -1, 1, 12, 13, 26, 99, 443, 65535, 65536, 2**31, 2**63, 10**30, 0.0, -0.0, 0.5, 1.0, 90.0, 180.5, 1e308)
_DATES = (
    "0001-01-01",
    "2012-06-30",
    "2018-12-31",
    "2019-01-01",
    "2027-06-01",
    "2028-02-29",
    "2031-01-01",
    "9999-12-31",
)
_PREFIXES = ("198.18.0.0/26", "198.18.0.16/28", "198.18.0.248/29", "10.0.0.0/26", "255.255.255.192/26", "0.0.0.0/26")
_PREFIXES6 = ("2001:db8:0:14::/64", "2001:db8::/48", "fc00::/64", "2001:db8:ffff:31cd::/64")
_RULES = (
    "S02",
    "S03",
    "S04",
    "S05",
    "S06",
    "S09",
    "S11",
    "S14",
    "E01",
    "E02",
    "E04",
    "A02",
    "A03",
    "M01",
    "M02",
    "M03",
    "S01",
)
_EXPRESSIONS = (
    *("up", "sum(up)", "sum by (site) (up) == 0", "absent(up)", 'up{deployment=~"x|ndt"}', "a:b:c > 1", "rate(up)"),
    *("sum without (site) (up)", 'probe_success{service=~"("}', "topk(3, up) or vector(1)", "-" * 90 + "1"),
)

scalars: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(_TEXTS), st.sampled_from(_NUMBERS), st.sampled_from((None, True, False)), st.text(max_size=8)
)
keys = st.one_of(st.sampled_from(_TEXTS), st.text(max_size=4))
values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)),
    max_leaves=4,
)

Edit = Callable[[Path], object]
Place = tuple[Any, Any]
"""A mapping or list, and the key or index in it."""


def places(value: Any) -> Iterator[Place]:
    """Everything inside a value that can be taken out or replaced."""
    items: Iterator[tuple[Any, Any]] | None = None
    if isinstance(value, dict):
        items = iter(list(value.items()))
    elif isinstance(value, list):
        items = iter(list(enumerate(value)))
    for key, inner in items or ():
        yield value, key
        yield from places(inner)


def _document(root: Path, file: str) -> Any:
    path = root / file
    data = path.read_bytes() if path.is_file() else b""
    document, _ = parse.parse(data, file)
    return document.value if document is not None else None


@st.composite
def value_edits(draw: st.DrawFn) -> Edit:
    """One value changed, removed, moved, doubled, renamed or added; the file is written as JSON, which is YAML too."""
    file, other = draw(st.sampled_from(PATHS)), draw(st.sampled_from(PATHS))
    how = draw(st.sampled_from(("set", "set", "set", "remove", "copy", "copy", "double", "rename", "add", "allow")))
    where, source = draw(st.integers(0, 400)), draw(st.integers(0, 400))
    new, key = draw(values), draw(st.one_of(st.sampled_from(_TEXTS), st.text(max_size=5)))

    def apply(root: Path) -> None:
        value = _document(root, file)
        found = list(places(value))
        if not found:
            return
        holder, at = found[where % len(found)]
        others = list(places(_document(root, other)))
        if how == "set":
            holder[at] = new
        elif how == "remove":
            del holder[at]
        elif how == "copy" and others:
            taken, name = others[source % len(others)]
            holder[at] = json.loads(json.dumps(taken[name]))
        elif how == "double" and isinstance(holder, list):
            holder.append(holder[at])
        elif how == "rename" and isinstance(holder, dict):
            holder[key] = holder.pop(at)
        elif how == "allow" and isinstance(value, dict):
            value["allow"] = [{"rule": key, "reason": "drawn at random"}]
        elif isinstance(holder, dict):
            holder[key] = new
        (root / file).write_bytes(json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass"))

    return apply


def _enums() -> Mapping[str, tuple[Any, ...]]:
    """The choices that schemas give, by key."""
    found: dict[str, list[Any]] = {}

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            for key, inner in node.get("properties", {}).items():
                if isinstance(inner, dict):
                    found.setdefault(key, []).extend(inner.get("enum", ()))
            for inner in node.values():
                walk(inner)
        elif isinstance(node, list):
            for inner in node:
                walk(inner)

    for path in (fleets.CHECKOUT / "schemas").glob("*.schema.json"):
        walk(json.loads(path.read_text()))
    return {key: tuple(choices) for key, choices in found.items() if choices}


def _like() -> Mapping[str, tuple[Any, ...]]:
    """All values that a key has anywhere in the configuration."""
    found: dict[str, list[Any]] = {}
    for file, text in FILES.items():
        document, _ = parse.parse(text.encode(), file)
        for holder, key in places(document.value if document else None):
            if isinstance(key, str) and holder[key] not in found.setdefault(key, []):
                found[key].append(holder[key])
    return {key: tuple(choices) for key, choices in found.items()}


ENUMS, LIKE = _enums(), _like()


def fitting(key: Any, value: Any) -> tuple[Any, ...]:
    """Other values that the schema may permit in a place: what gets past it meets the rules."""
    text = value if isinstance(value, str) else ""
    if isinstance(value, bool):
        return (not value,)
    if isinstance(value, int):
        return (value - 1, value + 1, 0, 1, 2, 3, 6, 12, 80, 443, 9990, 9995, 65535)
    if isinstance(value, float):
        return (-value, value + 0.5, value - 40, 0.01, 89.9, -179.9)
    if text[4:5] == "-" and text[:4].isdecimal():
        return _DATES
    if "/" in text and text[:1].isdecimal():
        return _PREFIXES6 if "::" in text else _PREFIXES
    if key in ("expr", "metric"):
        return _EXPRESSIONS
    if key == "rule":
        return _RULES
    return (*ENUMS.get(key, ()), *LIKE.get(key, ())) or (value,)


@st.composite
def fitting_edits(draw: st.DrawFn) -> Edit:
    """One value replaced by another that its schema may well permit; or a rule allowed, truly or not."""
    file = draw(st.sampled_from(CHOSEN))
    how = draw(st.sampled_from(("fit", "fit", "fit", "fit", "remove", "allow")))
    where, choice = draw(st.integers(0, 10**6)), draw(st.integers(0, 10**6))

    def apply(root: Path) -> None:
        value = _document(root, file)
        found = [place for place in places(value) if place[1] not in ("kind", "name")]
        if not found:
            return
        holder, at = found[where % len(found)]
        if how == "allow" and isinstance(value, dict) and "/acks/" not in file:
            value["allow"] = [{"rule": _RULES[choice % len(_RULES)], "reason": "drawn at random"}]
        elif how == "remove":
            if isinstance(holder, list):
                del holder[at]
        else:
            choices = fitting(at, holder[at])
            holder[at] = json.loads(json.dumps(choices[choice % len(choices)]))
        (root / file).write_text(json.dumps(value, ensure_ascii=False))

    return apply


@st.composite
def text_edits(draw: st.DrawFn) -> Edit:
    """Some characters of a file taken out, put in, doubled, or replaced by a piece of another file."""
    file, other = draw(st.sampled_from(PATHS)), draw(st.sampled_from(PATHS))
    start, length = draw(st.integers(0, 4000)), draw(st.integers(0, 60))
    how = draw(st.sampled_from(("out", "in", "double", "piece", "lines", "bytes")))
    new = draw(st.one_of(st.sampled_from(_TEXTS), st.text(max_size=6)))
    noise = draw(st.binary(max_size=4))

    def apply(root: Path) -> None:
        path = root / file
        if not path.is_file():
            return
        data = path.read_bytes()
        at = start % (len(data) + 1)
        cut = data[at : at + length]
        piece = {
            "out": b"",
            "in": new.encode(errors="surrogatepass") + cut,
            "double": cut + cut,
            "piece": FILES[other].encode()[at : at + length],
            "lines": b"\n".join(reversed(cut.split(b"\n"))),
            "bytes": noise,
        }[how]
        path.write_bytes(data[:at] + piece + data[at + length :])

    return apply


@st.composite
def file_edits(draw: st.DrawFn) -> Edit:
    """A file taken away, copied, moved, emptied, or something else in its place."""
    file, other = draw(st.sampled_from(PATHS)), draw(st.sampled_from(PATHS))
    how = draw(st.sampled_from(("remove", "copy", "move", "empty", "folder", "link", "suffix", "stranger")))

    def apply(root: Path) -> None:
        path, target = root / file, root / other
        beside = target.with_name(path.name)
        with contextlib.suppress(FileNotFoundError, shutil.SameFileError, IsADirectoryError, FileExistsError):
            if how == "remove":
                path.unlink()
            elif how == "copy":
                shutil.copyfile(path, beside)
            elif how == "move":
                path.rename(beside)
            elif how == "empty":
                path.write_bytes(b"")
            elif how == "folder":
                path.unlink()
                path.mkdir()
            elif how == "link":
                path.unlink()
                path.symlink_to(target)
            elif how == "suffix":
                path.rename(path.with_suffix(".yml"))
            else:
                (path.parent / "stranger.txt").write_text("hello")

    return apply


_KINDS = {"fitting": 12, "value": 2, "text": 1, "file": 1}


@st.composite
def _edit(draw: st.DrawFn) -> Edit:
    """Mostly edits that get past the schema, or the rules would hardly ever be reached."""
    chosen = draw(st.sampled_from([kind for kind, weight in _KINDS.items() for _ in range(weight)]))
    of = {"fitting": fitting_edits, "value": value_edits, "text": text_edits, "file": file_edits}
    return draw(of[chosen]())


edits: st.SearchStrategy[list[Edit]] = st.lists(_edit(), min_size=1, max_size=3)


def write(root: Path) -> None:
    """The configuration anew, whatever an example left there."""
    shutil.rmtree(root / "config", ignore_errors=True)
    for path, text in FILES.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
