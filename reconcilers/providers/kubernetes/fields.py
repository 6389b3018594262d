"""What of a live object is ours: `managedFields` read as a tree, and values seen through it. Pure.

`fieldsV1` (server-side apply) names a map's key `f:KEY`, an item of an associative list `k:{KEYS}`, an item of a set
`v:VALUE`, the node itself `.`; an empty node is owned whole. Values, however, are compared against the live object:
whoever changes a field of ours takes it out of our entry, so that our entry alone never shows drift.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

MANAGER = "mlab-reconciler"
Tree = Mapping[str, Any]


def owned(live: Mapping[str, Any], manager: str = MANAGER, operation: str = "Apply") -> Tree:
    """The tree of what the manager last applied and still owns."""
    entries = live["metadata"].get("managedFields") or []
    mine = (e for e in entries if e.get("manager") == manager and e.get("operation") == operation)
    return merged(e.get("fieldsV1") or {} for e in mine if not e.get("subresource"))


def shape(live: Mapping[str, Any]) -> Tree:
    """The trees of all managers laid over each other: it tells which lists are associative, and by which keys."""
    return merged(e.get("fieldsV1") or {} for e in live["metadata"].get("managedFields") or [])


def merged(trees: Iterable[Tree]) -> Tree:
    """The union of trees."""
    out: dict[str, Any] = {}
    for tree in trees:
        for key, child in tree.items():
            out[key] = merged((out[key], child)) if out.get(key) else child
    return out


def view(desired: Any, live: Any, mine: Tree | None, form: Tree | None) -> Any:
    """The live value where git wants a value or where we own one; `desired` None: only what we own.

    `form` {} means that somebody owns the value whole, None that nobody owns any of it.
    """
    if isinstance(live, dict) and (desired is None or isinstance(desired, dict)):
        if desired is None and not mine:
            return live
        return _view_map(desired or {}, live, mine or {}, form)
    if isinstance(live, list) and (desired is None or isinstance(desired, list)):
        if form and any(key.startswith("k:") for key in form):
            return _view_items(desired or [], live, mine or {}, form)
        if form and any(key.startswith("v:") for key in form):
            wanted = [*(desired or []), *(json.loads(key[2:]) for key in mine or {} if key.startswith("v:"))]
            return [item for item in live if item in wanted]
    return live


def _view_map(desired: Mapping[str, Any], live: Mapping[str, Any], mine: Tree, form: Tree | None) -> dict[str, Any]:
    atomic = form == {} and bool(desired)
    out = {}
    for key, value in live.items():
        node = mine.get("f:" + key)
        if key in desired:
            out[key] = view(desired[key], value, node, below(form, "f:" + key))
        elif node is not None:
            out[key] = view(None, value, node, below(form, "f:" + key))
        elif atomic:
            out[key] = value
    return out


def below(tree: Tree | None, key: str) -> Tree | None:
    """A node's child; what lies inside a value that is owned whole is owned whole."""
    return tree and tree.get(key) if tree != {} else {}


def _view_items(desired: list[Any], live: list[Any], mine: Tree, form: Tree) -> list[Any]:
    pairs = matches(desired, live, form)
    out = []
    for index, item in enumerate(live):
        key, wanted = pairs[index]
        if wanted is not None:
            out.append(view(desired[wanted], item, mine.get(key), form.get(key)))
        elif key in mine:
            out.append(view(None, item, mine[key], form.get(key)))
    return out


def matches(desired: list[Any], live: list[Any], form: Tree) -> list[tuple[str, int | None]]:
    """For each live item of an associative list its tree key, and the index of the desired item that it is.

    A key that the desired item leaves out (a port's protocol) is a default of the server's and matches any value.
    """
    keys = [(key, json.loads(key[2:])) for key in form if key.startswith("k:")]
    free = dict(enumerate(desired))
    found: list[tuple[str, int | None]] = []
    for item in live:
        key, fields = next(((k, f) for k, f in keys if _agrees(item, f, strict=True)), ("", {}))
        index = next((i for i, want in free.items() if fields and _agrees(want, fields, strict=True)), None)
        if index is None:
            index = next((i for i, want in free.items() if fields and _agrees(want, fields, strict=False)), None)
        if index is not None:
            del free[index]
        found.append((key, index))
    return found


def _agrees(item: Any, fields: Mapping[str, Any], *, strict: bool) -> bool:
    if not isinstance(item, dict) or not fields.keys() & item.keys():
        return False
    return all(item[name] == value if name in item else not strict for name, value in fields.items())


def holds(desired: Any, live: Any, mine: Tree | None, form: Tree | None) -> bool:
    """True if everything that was applied is there still: the test that costs no request.

    Only good while git wants what was last applied. Defaults beside our fields pass; so they do inside an atomic
    value, as long as we own it, since no one else can have changed it.
    """
    if isinstance(desired, dict):
        if not isinstance(live, dict):
            return False
        if form == {} and mine is None:
            return desired == live
        return all(
            key in live and holds(value, live[key], below(mine, "f:" + key), below(form, "f:" + key))
            for key, value in desired.items()
        )
    if isinstance(desired, list) and isinstance(live, list) and form and any(key.startswith("k:") for key in form):
        pairs = matches(desired, live, form)
        order = [index for _, index in pairs if index is not None]
        return order == list(range(len(desired))) and all(
            holds(desired[index], item, below(mine, key), form.get(key))
            for item, (key, index) in zip(live, pairs, strict=True)
            if index is not None
        )
    if isinstance(desired, list) and isinstance(live, list) and form and any(key.startswith("v:") for key in form):
        return all(item in live for item in desired)
    return same(desired, live)


def same(one: Any, other: Any) -> bool:
    """Equal as JSON: `1` is not `true`."""
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def settle(desired: Any, live: Any, result: Any) -> Any:
    """The live view, with what a dry run would leave as it is replaced by the words of git.

    `live` and `result` are views of the live object and of the dry run's answer. Where they agree, the server takes
    what git says for what is there (`1000m` for `1`, a default spelled out), and it is no difference.
    """
    if same(live, result):
        return desired
    if isinstance(desired, dict) and isinstance(live, dict) and isinstance(result, dict):
        return {
            key: settle(desired[key], value, result[key]) if key in desired and key in result else value
            for key, value in live.items()
        }
    if isinstance(desired, list) and isinstance(live, list) and isinstance(result, list):
        if len(desired) != len(result):
            return live
        return [
            item if index is None else settle(desired[index], item, result[index])
            for position, item in enumerate(live)
            for index in [_counterpart(item, position, result)]
        ]
    return live


def _counterpart(item: Any, position: int, result: list[Any]) -> int | None:
    name = item.get("name") if isinstance(item, dict) else None
    for index, other in enumerate(result):
        if other == item or (name is not None and isinstance(other, dict) and other.get("name") == name):
            return index
    return position if name is None and isinstance(item, dict) and position < len(result) else None


def fingerprints(desired: Any) -> str:
    """Four bytes for each field that we apply, in base64: on the live object, it tells later what had been ours."""
    marks = sorted({_mark(path) for path in _leaves("", desired)})
    return base64.b64encode(b"".join(marks)).decode()


def never_ours(conflicts: Iterable[str], desired: Any, stored: str) -> list[str]:
    """Of the fields that an apply conflicts in (`.spec.containers[name="x"].image`), those we did not apply before."""
    try:
        data = base64.b64decode(stored, validate=True)
    except ValueError:
        data = b""
    known = {data[at : at + 4] for at in range(0, len(data), 4)}
    return sorted(field for field in conflicts if not _known(field, desired, known))


def _known(field: str, desired: Any, known: set[bytes]) -> bool:
    found = _locate(field, desired)
    return found is not None and any(_mark(path) in known for path in _leaves(*found))


def _mark(path: str) -> bytes:
    return hashlib.sha256(path.encode()).digest()[:4]


def _leaves(path: str, value: Any) -> Iterable[str]:
    if isinstance(value, dict) and value:
        for key, child in value.items():
            yield from _leaves(f"{path}.{key}", child)
    elif isinstance(value, list) and value:
        for index, child in enumerate(value):
            yield from _leaves(f"{path}[{_label(index, child)}]", child)
    else:
        yield path


def _label(index: int, item: Any) -> str:
    if isinstance(item, dict):
        for key in ("name", "mountPath", "containerPort", "ip", "port"):
            if key in item:
                return f"{key}={item[key]}"
    return str(index)


def _locate(field: str, value: Any, path: str = "") -> tuple[str, Any] | None:
    """Follow a field of a conflict's cause through the desired object; keys of maps may hold dots themselves."""
    if not field:
        return path, value
    if field.startswith(".") and isinstance(value, dict):
        for key in sorted(value, key=len, reverse=True):
            rest = field[1 + len(key) :]
            if field.startswith("." + key) and (not rest or rest[0] in ".["):
                return _locate(rest, value[key], f"{path}.{key}")
    if field.startswith("[") and isinstance(value, list):
        for end in (i for i, char in enumerate(field) if char == "]"):
            for index, item in enumerate(value):
                if _selects(field[1:end], index, item):
                    return _locate(field[end + 1 :], item, f"{path}[{_label(index, item)}]")
    return None


def _selects(selector: str, index: int, item: Any) -> bool:
    """`name="x"`, `containerPort=80,protocol="TCP"` (defaults may be left out in git), `="value"`, or an index."""
    if selector.startswith("="):
        return json.dumps(item) == selector[1:]
    if "=" not in selector:
        return selector == str(index)
    if not isinstance(item, dict):
        return False
    fields = dict(part.partition("=")[::2] for part in selector.split(","))
    return any(k in item for k in fields) and all(json.dumps(item[k]) == v for k, v in fields.items() if k in item)
