"""Which record sets of a zone are ours: for each file in git that wants some, a TXT record set that lists them.

    lga05.sites.sandbox._mlab-owner.mlab-sandbox.measurement-lab.test.  TXT
        "owner=mlab" "env=sandbox" "scope=sandbox/dns" "source=config/sites/lga05.yaml" "commit=3f2c1ab"
        "A" "mlab1-lga05 mlab1v4-lga05 …" "mlab2-lga05 …"
        "AAAA" "mlab1-lga05 …"

Behind a type, `!` says that what follows may not be deleted.

A list is written in the same transaction as what it lists, so neither is ever without the other, and a record that no
list names is somebody else's. One list a file instead of one TXT record a name: the zone does not double, and a list
stays below what one answer can hold.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from reconcilers.core import plan as planning
from reconcilers.core.errors import Permanent
from reconcilers.core.model import Owner
from reconcilers.providers.dns import records
from reconcilers.providers.dns.records import Contents, Key, RecordSet, Swap

LABEL = "_mlab-owner"
PROTECTED = "!"
TTL_S = 60
VALUE_BYTES = 1_000
"""Of one TXT record; servers and clients differ in what they make of longer ones."""
LIST_BYTES = 8_000
"""Of one list, roughly: before and after, both are in one transaction, and a message has 65,535 bytes."""
_HEADER = ("owner", "env", "scope", "source", "commit")
_PLAIN = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class List:
    """The list of one file: whose it is, the record sets that it names, and those of them that may not be deleted."""

    owner: Owner
    keys: frozenset[Key]
    protected: frozenset[Key] = frozenset()


@dataclass(slots=True)
class Live:
    """A zone as it was read: its contents, its lists by name, and the list that names each record set."""

    zone: str
    contents: dict[Key, RecordSet]
    lists: dict[str, List] = field(default_factory=dict)
    listed: dict[Key, str] = field(default_factory=dict)
    types: dict[str, set[str]] = field(default_factory=dict)

    def owner(self, key: Key) -> Owner | None:
        """Who manages a record set; None: nobody that we know of."""
        name = self.listed.get(key)
        return None if name is None else self.lists[name].owner

    def protected(self, key: Key) -> bool:
        """Whether its list says that it may not be deleted."""
        name = self.listed.get(key)
        return name is not None and key in self.lists[name].protected

    def occluded(self, name: str) -> bool:
        """Whether a name is below a delegation: whoever serves that answers, not this zone's servers."""
        below = name.removesuffix(self.zone).rstrip(".").split(".")
        return any((f"{'.'.join(below[start:])}.{self.zone}", "NS") in self.contents for start in range(1, len(below)))

    def swapped(self, swaps: Iterable[Swap]) -> None:
        """Take over what a transaction did."""
        for swap in swaps:
            name, kind = swap.key
            if swap.after is None:
                self.contents.pop(swap.key, None)
                self.types.get(name, set()).discard(kind)
            else:
                self.contents[swap.key] = swap.after
                self.types.setdefault(name, set()).add(kind)
            if _is_list(swap.key, self.zone):
                self._forget(name)
                if swap.after is not None:
                    self.learn(name, _decoded(name, swap.after, self.zone))

    def learn(self, name: str, found: List) -> None:
        """Take a list in; where two name the same record set, the first one stands."""
        self.lists[name] = found
        for key in found.keys:
            self.listed.setdefault(key, name)

    def _forget(self, name: str) -> None:
        found = self.lists.pop(name, None)
        for key in found.keys if found else ():
            if self.listed.get(key) == name:
                del self.listed[key]


def live(zone: str, contents: Contents) -> Live:
    """A zone with its lists read. Raises `Permanent` if one of them cannot be."""
    made = Live(zone, dict(contents))
    for name, kind in contents:
        made.types.setdefault(name, set()).add(kind)
    lists = {key[0]: _decoded(key[0], found, zone) for key, found in contents.items() if _is_list(key, zone)}
    for name in sorted(lists, key=lambda name: (lists[name].owner.scope, name)):
        made.learn(name, lists[name])
    return made


def _is_list(key: Key, zone: str) -> bool:
    return key[1] == "TXT" and key[0].endswith(f".{LABEL}.{zone}")


def reserved(name: str, zone: str, *labels: str) -> bool:
    """Whether a name is one of our own records about the zone, which git never names."""
    return any(records.within(name, f"{label}.{zone}") for label in (LABEL, *labels))


def list_name(owner: Owner, zone: str, part: int = 1) -> str:
    """Where the list of a file is; a file that wants very much has several parts."""
    parts = PurePosixPath(owner.source).with_suffix("").parts
    labels = [part_.lower() for part_ in parts if part_ != "config"]
    tail = [owner.env, LABEL, zone]
    head = [str(part)] if part > 1 else []
    name = ".".join([*head, *reversed(labels), *tail])
    if all(_PLAIN.fullmatch(label) for label in labels) and len(name) <= 253 and labels:
        return name
    digest = hashlib.sha256(owner.source.encode()).hexdigest()[:32]
    return ".".join([*head, digest, *tail])


@dataclass(frozen=True, slots=True)
class Mark:
    """What a list is to say of a record set."""

    owner: Owner
    protect: bool = False


def swaps(of: Live, scope: str, added: Mapping[Key, Mark], removed: Collection[Key]) -> Iterator[Swap]:
    """What a transaction must do to the lists so that they name `added` and no longer name `removed`."""
    joining: dict[str, set[Key]] = defaultdict(set)
    leaving: dict[str, set[Key]] = defaultdict(set)
    owners: dict[str, Owner] = {}
    room = _Room(of)
    for key, mark in added.items():
        name = room.take(mark.owner, key)
        joining[name].add(key)
        owners[name] = mark.owner
    for key in (*added, *removed):
        former = of.listed.get(key)
        if former is not None and planning.ours(of.lists[former].owner, scope):
            leaving[former].add(key)
    for name in sorted(joining.keys() | leaving.keys()):
        before = of.contents.get((name, "TXT"))
        listed = of.lists.get(name)
        keys = ((listed.keys if listed else frozenset()) - leaving[name]) | joining[name]
        owner = owners[name] if name in owners else of.lists[name].owner
        if listed is not None and keys == listed.keys and name not in owners:
            continue
        kept = (listed.protected if listed else frozenset()) - leaving[name] - joining[name]
        protected = kept | {key for key in joining[name] if added[key].protect}
        after = encoded(List(owner, keys, protected), of.zone) if keys else None
        if after is not None or before is not None:
            yield Swap((name, "TXT"), before, after)


class _Room:
    """Chooses the list for what a file wants: where it is listed already, or the first part that has room."""

    def __init__(self, of: Live) -> None:
        self._of = of
        self._sizes: dict[str, int] = {}
        self._open: dict[tuple[str, str], int] = {}

    def take(self, owner: Owner, key: Key) -> str:
        former = self._of.listed.get(key)
        if former is not None:
            theirs = self._of.lists[former].owner
            if (theirs.env, theirs.scope, theirs.source) == (owner.env, owner.scope, owner.source):
                return former
        file = (owner.env, owner.source)
        need = len(key[0]) - len(self._of.zone)
        while True:
            name = list_name(owner, self._of.zone, self._open.setdefault(file, 1))
            size = self._sizes.get(name, size_bytes(self._of, name))
            if size == 0 or size + need <= LIST_BYTES:
                self._sizes[name] = size + need
                return name
            self._open[file] += 1


def size_bytes(of: Live, name: str) -> int:
    """How long a list is as it stands; 0 if there is none."""
    found = of.contents.get((name, "TXT"))
    return sum(map(len, found.values)) if found is not None else 0


def encoded(listed: List, zone: str) -> RecordSet:
    """A list as a TXT record set."""
    owner = listed.owner
    head = [f"{part}={getattr(owner, part)}".encode()[: records.TEXT_LIMIT] for part in _HEADER]
    values = [records.strings(head)]
    by_type: dict[str, list[str]] = defaultdict(list)
    for key in listed.keys:
        name, kind = key
        told = f"{kind}{PROTECTED}" if key in listed.protected else kind
        by_type[told].append("@" if name == zone else name.removesuffix(f".{zone}"))
    for kind in sorted(by_type):
        values += [records.strings([kind.encode(), *part]) for part in _parts(sorted(by_type[kind]))]
    return RecordSet(TTL_S, tuple(values))


def _parts(names: list[str]) -> Iterator[list[bytes]]:
    """Names in strings, strings in records, each as long as it may be."""
    record: list[bytes] = []
    line = b""
    for name in names:
        word = name.encode()
        if line and len(line) + 1 + len(word) > records.TEXT_LIMIT:
            record.append(line)
            line = b""
            if sum(map(len, record)) + records.TEXT_LIMIT > VALUE_BYTES:
                yield record
                record = []
        line = line + b" " + word if line else word
    yield [*record, line]


def _decoded(name: str, found: RecordSet, zone: str) -> List:
    head: dict[str, str] = {}
    keys: set[Key] = set()
    protected: set[Key] = set()
    for value in found.values:
        first, *rest = (part.decode("utf-8", "replace") for part in records.strings_of(value))
        if "=" in first:
            head = dict(part.partition("=")[::2] for part in (first, *rest))
            continue
        kind = first.removesuffix(PROTECTED)
        named = {(zone if word == "@" else f"{word}.{zone}", kind) for word in " ".join(rest).split()}
        keys |= named
        if kind != first:
            protected |= named
    if not head.get("owner") or not head.get("env"):
        raise Permanent(
            f"{name} TXT: this list of ours has no owner in it: it was changed by hand; mend it, or delete it to let "
            "go of all that it lists"
        )
    return List(Owner(*(head.get(part, "") for part in _HEADER)), frozenset(keys), frozenset(protected))
