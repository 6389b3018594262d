"""Making a bundle's content again out of its members, when the file that held it is lost or was never complete.

A packer gives the same bytes for the same files in the same order, so what comes out either has the checksums of the
journal, or is not used at all.
"""

from __future__ import annotations

import os
from pathlib import Path

from node.pusher import content, journal, reading
from node.pusher.bundle import Format, Packing
from node.pusher.tree import Tree


def whole(folder: Path, entry: journal.Entry) -> bool:
    """Whether the files that hold the contents are there, whole."""
    return all(content.checked(folder / each.content, each.size, each.crc32c) for each in entry.objects)


def again(tree: Tree, form: Format, folder: Path, entry: journal.Entry) -> bool:
    """Write the contents anew. Whether they are the same; raises `OSError`."""
    packing = form.begin(entry.key, entry.us, folder / entry.path.stem)
    try:
        if not _packed(tree, packing, entry):
            return False
        made = packing.contents
        for each in made:
            each.sync()
            if each.refused is not None:
                raise each.refused
        return [(each.size, each.crc32c) for each in made] == [(each.size, each.crc32c) for each in entry.objects]
    finally:
        for each in packing.contents:
            each.close()


def _packed(tree: Tree, packing: Packing, entry: journal.Entry) -> bool:
    for member in entry.members:
        try:
            descriptor = tree.open(member.name)
        except OSError:
            return False
        try:
            status = os.fstat(descriptor)
            if not member.is_still(status):
                return False
            packing.add(member.name, descriptor, status, member.added_us)
        except (reading.Changed, reading.Bad):
            return False
        finally:
            os.close(descriptor)
        packing.full()
    packing.finish()
    return True
