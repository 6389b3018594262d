"""From a sealed bundle to its members' deletion: journal, upload, proof, deletion, in this order, in one worker.

A shipment is tried again, for ever, from where it failed; nothing is done twice that is known to be done. While it
waits for its next attempt it holds no worker, so that bundles that cannot be stored do not keep others from it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from node.pusher import content, deletion, journal, recovery, upload
from node.pusher.bundle import Bundle, Format
from node.pusher.member import Member
from node.pusher.tree import Tree


class Lost(Exception):
    """The bundle is not stored and its content cannot be had again; its members are packed anew."""


@dataclass(slots=True)
class Shipment:
    """A bundle on its way. `bundle` is None after a restart; times are of the monotonic clock."""

    name: str
    key: str
    us: int
    members: tuple[Member, ...]
    object_names: tuple[str, ...]
    since: float
    bundle: Bundle | None = None
    entry: journal.Entry | None = None
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Where members are now that were renamed after they were packed."""
    stored: bool = False
    whole: bool = False
    how: str = ""
    """How a bundle of a run that was killed was taken up."""
    failures: int = 0
    began: float = 0.0
    due: float = 0.0
    running: bool = False
    scarce: bool = False
    """The last attempt failed since no descriptor was left: the next one may not."""

    @property
    def size(self) -> int:
        """Compressed bytes."""
        if self.bundle is not None:
            return self.bundle.size
        return sum(each.size for each in self.entry.objects) if self.entry is not None else 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attempt came to: `error` is there when something is left to do."""

    shipment: Shipment
    deleted: deletion.Deleted | None = None
    error: Exception | None = None
    uploaded: bool = False


class Shipper:
    """What the workers of a datatype share."""

    def __init__(self, root: Path, of: journal.Journal, bucket: upload.Bucket, form: Format) -> None:
        self._root = root
        self._journal = of
        self._bucket = bucket
        self._format = form

    def attempt(self, shipment: Shipment) -> Outcome:
        """One attempt; raises nothing, since a bug in one bundle's way must not end the others'."""
        uploaded = False
        try:
            if shipment.entry is None:
                shipment.entry = self._seal(shipment)
            if not shipment.stored and not shipment.entry.stored:
                self._upload(shipment, shipment.entry)
                uploaded = True
                self._journal.stored(shipment.entry)
            shipment.stored = True
            deleted = self._delete(shipment)
            if deleted.errors:
                # It stays in the journal: what is stored must not be packed again, not even by the next run.
                name, error = deleted.errors[0]
                return Outcome(shipment, deleted, OSError(error.errno, os.strerror(error.errno or 0), name), uploaded)
            self.forget(shipment)
            return Outcome(shipment, deleted, None, uploaded)
        except Exception as error:
            return Outcome(shipment, None, error, uploaded)

    def _seal(self, shipment: Shipment) -> journal.Entry:
        assert shipment.bundle is not None
        objects = []
        for name, made in zip(shipment.object_names, shipment.bundle.packing.contents, strict=True):
            made.sync()
            objects.append(journal.Object(name, made.size, made.crc32c, made.path.name))
        path = self._journal.path(shipment.name)
        entry = journal.Entry(path, shipment.key, shipment.us, tuple(objects), shipment.members)
        self._journal.seal(entry)
        return entry

    def _upload(self, shipment: Shipment, entry: journal.Entry) -> None:
        if shipment.failures and shipment.bundle is not None and self._lost(shipment.bundle, entry):
            for made in shipment.bundle.packing.contents:
                made.close()
            shipment.bundle = None
        if shipment.bundle is None and not shipment.whole and not self._have(shipment, entry):
            return
        contents = () if shipment.bundle is None else shipment.bundle.packing.contents
        for number, each in enumerate(entry.objects):
            made = contents[number] if contents else content.Content(self._journal.folder / each.content)
            self._bucket.put(each.name, made.open, each.size, each.crc32c, self._format.content_type)

    def _lost(self, bundle: Bundle, entry: journal.Entry) -> bool:
        """Whether the disk has it no longer as it was written."""
        in_memory = any(made.in_memory_bytes for made in bundle.packing.contents)
        return not in_memory and not recovery.whole(self._journal.folder, entry)

    def _have(self, shipment: Shipment, entry: journal.Entry) -> bool:
        """See to it that the content is there; whether it has to be uploaded. Raises `Lost`."""
        if recovery.whole(self._journal.folder, entry):
            shipment.whole, shipment.how = True, "content"
            return True
        tree = Tree(self._root)
        try:
            shipment.whole = recovery.again(tree, self._format, self._journal.folder, entry)
        finally:
            tree.close()
        if shipment.whole:
            shipment.how = "repacked"
            return True
        if all(self._bucket.has(each.name, each.size, each.crc32c) for each in entry.objects):
            shipment.how = "stored"
            return False
        shipment.how = "given_up"
        raise Lost(f"{entry.objects[0].name}: not stored, its content is lost, and its files have changed")

    def _delete(self, shipment: Shipment) -> deletion.Deleted:
        tree = Tree(self._root)
        try:
            return deletion.delete(tree, shipment.members, shipment.renamed)
        finally:
            tree.close()

    def forget(self, shipment: Shipment) -> None:
        """Nothing is left to do for it, or it was given up."""
        if shipment.bundle is not None:
            for made in shipment.bundle.packing.contents:
                made.discard()
        elif shipment.entry is not None:
            for each in shipment.entry.objects:
                content.remove(self._journal.folder / each.content)
        if shipment.entry is not None:
            self._journal.done(shipment.entry)
