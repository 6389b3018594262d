"""Deleting files that are proven to be in the archive: the very files that were packed, and no other.

A file that is no longer what was packed stays, and is packed anew: whoever changed it after closing it loses nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from node.pusher import faults
from node.pusher.member import Member
from node.pusher.tree import Tree


class Deleted:
    """What became of a bundle's members."""

    __slots__ = ("errors", "gone", "other", "removed")

    def __init__(self) -> None:
        self.removed = 0
        self.gone = 0
        """Somebody else had deleted them."""
        self.other: list[str] = []
        """Names that have another file now."""
        self.errors: list[tuple[str, OSError]] = []


def delete(tree: Tree, members: Iterable[Member], renamed: Mapping[str, str]) -> Deleted:
    """Call this only with proof that the bundle is stored. `renamed`: where a member is now, if not at its name."""
    done = Deleted()
    for member in members:
        name = renamed.get(member.name, member.name)
        try:
            if not member.is_still(tree.stat(name)):
                done.other.append(name)
                continue
            faults.point("member-before-unlink")
            tree.unlink(name)
            faults.point("member-after-unlink")
            done.removed += 1
        except FileNotFoundError:
            done.gone += 1
        except OSError as error:
            done.errors.append((name, error))
    return done


def words(error: OSError) -> str:
    """What the system said."""
    return error.strerror or os.strerror(error.errno or 0)
