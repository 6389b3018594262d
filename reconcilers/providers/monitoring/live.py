"""Whether what a server runs on is what a file says: the servers print their configuration in a form of their own.

Printing fills in defaults, joins paths with the directory of the file, hides secrets and writes durations anew. So a
file counts as loaded if everything that it says is in the server's print, item by item. That alone would overlook a
setting which the server has and the file has not: callers also compare the time of the last reload with the file's.
Expressions of rules are compared in the form of Prometheus' own printer.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import yaml

HIDDEN = "<secret>"
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DURATION = re.compile(r"(?:\d+(?:ms|[smhdwy]))+")
_PART = re.compile(r"(\d+)(ms|[smhdwy])")
_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000, "y": 31_536_000_000}


def parse(content: bytes) -> Any:
    """The document of a YAML file, None if it is none: a file that does not parse is certainly not loaded."""
    try:
        return yaml.load(content, Loader=_LOADER)
    except (yaml.YAMLError, ValueError):
        return None


def duration_ms(text: str) -> int | None:
    """Prometheus' duration (`1d12h`, `90s`) in milliseconds, None if it is none."""
    if text == "0":
        return 0
    if not _DURATION.fullmatch(text):
        return None
    return sum(int(number) * _MS[unit] for number, unit in _PART.findall(text))


def covers(live: Any, said: Any) -> bool:
    """Whether the server's print has everything that the file says."""
    if isinstance(said, Mapping):
        if not isinstance(live, Mapping):
            return not said and live is None
        return all(
            _same_set(live.get(key), value) if key in _UNORDERED else covers(live.get(key), value)
            for key, value in said.items()
        )
    if isinstance(said, list):
        if not said:
            return not live
        return isinstance(live, list) and len(live) == len(said) and all(map(covers, live, said))
    if live is None:
        return not said  # printers leave out what is empty or false
    return _same(live, said)


# Alertmanager prints these sorted, whatever the order in the file.
_UNORDERED = frozenset({"matchers", "source_matchers", "target_matchers", "equal"})


def _same_set(live: Any, said: Any) -> bool:
    return sorted(_label_matchers(str(item)) for item in live or ()) == sorted(
        _label_matchers(str(item)) for item in said or ()
    )


def _same(live: Any, said: Any) -> bool:
    if live == said and isinstance(live, bool) == isinstance(said, bool):
        return True
    if live == HIDDEN:
        return True
    ours, theirs = str(said), str(live)
    if ours == theirs:
        return True
    if isinstance(said, str) and isinstance(live, str):
        if _label_matchers(ours) == _label_matchers(theirs) or theirs.endswith(f"/{ours}"):
            return True
        ms = duration_ms(ours)
        return ms is not None and ms == duration_ms(theirs)
    return False


def _label_matchers(text: str) -> str:
    """Alertmanager prints a matcher's value in quotes."""
    return text.replace('"', "").replace(" ", "")


def same_groups(
    live: Sequence[Mapping[str, Any]], said: Any, formatted: Callable[[str], str], evaluation_interval_s: float
) -> bool:
    """Whether the server runs exactly the groups of a rule file, rule by rule."""
    groups = said.get("groups") if isinstance(said, Mapping) else None
    wanted = {str(group.get("name")): group for group in groups or () if isinstance(group, Mapping)}
    if len(wanted) != len(live):
        return False
    for group in live:
        ours = wanted.get(str(group.get("name")))
        if ours is None:
            return False
        interval_ms = duration_ms(str(ours["interval"])) if ours.get("interval") else evaluation_interval_s * 1000
        if group.get("interval") is not None and interval_ms != float(group["interval"]) * 1000:
            return False
        rules = ours.get("rules") or ()
        if len(rules) != len(group.get("rules") or ()):
            return False
        if not all(_same_rule(rule, our, formatted) for rule, our in zip(group["rules"], rules, strict=True)):
            return False
    return True


def _same_rule(live: Mapping[str, Any], said: Mapping[str, Any], formatted: Callable[[str], str]) -> bool:
    if live.get("name") != (said.get("alert") or said.get("record")):
        return False
    for key, theirs in (("for", "duration"), ("keep_firing_for", "keepFiringFor")):
        if (duration_ms(str(said.get(key) or "0")) or 0) != float(live.get(theirs) or 0) * 1000:
            return False
    for key in ("labels", "annotations"):
        if {k: str(v) for k, v in (said.get(key) or {}).items()} != dict(live.get(key) or {}):
            return False
    expression, query = str(said.get("expr", "")).strip(), str(live.get("query", ""))
    return expression == query or formatted(expression) == formatted(query)


def alertmanager_hash(content: bytes) -> float:
    """The value of `alertmanager_config_hash`: the first 48 bits of the file's MD5, which a float holds exactly."""
    return float(int.from_bytes(hashlib.md5(content, usedforsecurity=False).digest()[:6], "little"))
