"""Flags and environment as all long-running programs of a node take them, in the syntax that manifests are written in.

`-name=value`, `--name=value`, `-name value`; a boolean is `-name` or `-name=false`. A flag that the command line does
not give is taken from the environment: its name in capitals, with `_` for every character outside `A-Z0-9`
(`-uuid-prefix-file` is `UUID_PREFIX_FILE`); a variable that is set but empty counts. Repeatable flags add up.

A wrong command line is a `UsageError`: one line, the usage, exit status 2. A wrong variable exits with 1, as ever.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_LOG = logging.getLogger("flags")
_BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}
_UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_BYTES = re.compile(r"([0-9]+)([KMG]?)B?")
_FACTORS = {"": 1, "K": 1_000, "M": 1_000_000, "G": 1_000_000_000}


class UsageError(Exception):
    """What is wrong with the command line."""


class VariableError(Exception):
    """What is wrong with a variable."""


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag. `parse` raises `ValueError`; with `add`, each further value is added to the one before."""

    name: str
    parse: Callable[[str], Any]
    default: Any
    meaning: str
    add: Callable[[Any, Any], Any] | None = None

    @property
    def variable(self) -> str:
        """The environment variable that gives it."""
        made = re.sub("[^A-Z0-9]", "_", self.name.upper())
        return f"_{made}" if made[:1].isdigit() else made

    @property
    def attribute(self) -> str:
        """Its name in a program."""
        return re.sub("[^a-z0-9]", "_", self.name.lower())


def boolean(text: str) -> bool:
    if text not in _BOOLEANS:
        raise ValueError("is neither true nor false")
    return _BOOLEANS[text]


def integer(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        raise ValueError("is no whole number")
    return int(text)


def duration_s(text: str) -> float:
    """`1h30m`, `10ms`, `0`: in seconds."""
    body = text.lstrip("+-")
    parts = _DURATION_PART.findall(body)
    if len(text) - len(body) > 1 or "".join(number + unit for number, unit in parts) != body or not parts:
        if body == "0" and len(text) <= 2:
            return 0.0
        raise ValueError("is no duration such as 150s, 1h30m, 10ms")
    total = sum(float(number) * _UNITS_S[unit] for number, unit in parts)
    return -total if text.startswith("-") else total


def byte_count(text: str) -> int:
    """`20MB` is 20,000,000: decimal units."""
    matched = _BYTES.fullmatch(text)
    if not matched:
        raise ValueError("is no number of bytes such as 512, 5K, 20MB")
    return int(matched[1]) * _FACTORS[matched[2]]


def key_values(text: str) -> dict[str, str]:
    """`a=b,c=@file`: a file's content is stripped of white space at both ends; the later one wins."""
    made = {}
    for pair in text.split(",") if text else []:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"has {pair!r}, which is no KEY=VALUE")
        made[key] = _content(value[1:]).strip() if value.startswith("@") else value
    return made


def words(text: str) -> list[str]:
    """A comma-separated list; nothing is an empty one."""
    return text.split(",") if text else []


def text_or_file(text: str) -> str:
    """The text itself, or, after `@`, what a file holds."""
    return _content(text[1:]) if text.startswith("@") else text


def _content(path: str) -> str:
    try:
        return Path(path).read_text()
    except (OSError, ValueError) as error:
        raise ValueError(f"names a file that cannot be read: {error}") from None


def many(name: str, meaning: str) -> Flag:
    """A list: comma-separated, repeated, or both."""
    return Flag(name, words, [], meaning, lambda old, new: [*old, *new])


def pairs(name: str, meaning: str) -> Flag:
    """Pairs: comma-separated, repeated, or both."""
    return Flag(name, key_values, {}, meaning, lambda old, new: {**old, **new})


def parse(flags: Sequence[Flag], arguments: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any]:
    """Values by attribute name. Raises `UsageError` and `VariableError`."""
    known = {flag.name: flag for flag in flags}
    given: dict[str, Any] = {}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.removeprefix("-").removeprefix("-").partition("=")
        if not word.startswith("-") or not name or name.startswith("-"):
            raise UsageError(f"{word!r} is no flag")
        if name not in known:
            raise UsageError(f"flag -{name} is not defined")
        if not equals:
            if known[name].parse is boolean:
                value = "true"
            elif rest:
                value = rest.pop(0)
            else:
                raise UsageError(f"flag -{name} needs a value")
        try:
            _take(known[name], value, given)
        except ValueError as error:
            raise UsageError(f"flag -{name}: {value!r} {error}") from None
    for flag in flags:
        if flag.variable not in environment:
            continue
        if flag.name in given:
            _LOG.warning("-%s is given on the command line; %s is not used", flag.name, flag.variable)
            continue
        try:
            _take(flag, environment[flag.variable], given)
        except ValueError as error:
            raise VariableError(f"{flag.variable}: {environment[flag.variable]!r} {error}") from None
    return {flag.attribute: given.get(flag.name, flag.default) for flag in flags}


def _take(flag: Flag, value: str, given: dict[str, Any]) -> None:
    made = flag.parse(value)
    given[flag.name] = flag.add(given[flag.name], made) if flag.add and flag.name in given else made


def usage(program: str, flags: Sequence[Flag]) -> str:
    """All flags with their defaults."""
    lines = [f"Usage of {program}:"]
    for flag in flags:
        default = "" if flag.default in ("", None) or flag.default in ([], {}) else f" (default {flag.default})"
        lines.append(f"  -{flag.name}  [{flag.variable}]\n        {flag.meaning}{default}")
    return "\n".join(lines)


def start(
    program: str, flags: Sequence[Flag], arguments: Sequence[str], environment: Mapping[str, str]
) -> dict[str, Any]:
    """What a program's main begins with: logging to stderr, flags, and the final value of each in the log.

    Exits with 0 for `-help`, 2 for a wrong command line, 1 for a wrong variable.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s: %(message)s", force=True)
    if any(word in ("-h", "-help", "--h", "--help") for word in arguments):
        print(usage(program, flags))  # noqa: T201 - it was asked for
        sys.exit(0)
    try:
        values = parse(flags, arguments, environment)
    except UsageError as error:
        sys.stderr.write(f"{program}: {error}\n{usage(program, flags)}\n")
        sys.exit(2)
    except VariableError as error:
        sys.stderr.write(f"{program}: {error}\n")
        sys.exit(1)
    for flag in flags:
        _LOG.info("-%s=%r", flag.name, values[flag.attribute])
    return values
