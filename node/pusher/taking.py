"""One file at a time: whether it may be packed now, and into which bundle.

Packed is a regular file that nobody has open for writing: the kernel said that it was closed, or grants a read lease on
it. Links, sockets, pipes and what cannot be opened stay where they are, counted.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from node.pusher import deletion, faults, names, quarantine, reading, sampling
from node.pusher.bundle import Bundle, Format
from node.pusher.ledger import Ledger
from node.pusher.member import Member
from node.pusher.meters import Meters
from node.pusher.settings import Datatype
from node.pusher.tree import Tree
from node.watch import beneath
from node.watch import closed as watched

_LOG = logging.getLogger("pusher")
_NOTHING = (None, False)
_ELSEWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
"""What has a name's place is another thing: a file, or a link, where a folder was."""
_SAID_LIMIT = 10_000


class NoDescriptor(Exception):
    """No descriptor is left, or no memory for one: the file may be taken as soon as there is."""


def _scarce(error: OSError) -> None:
    """Descriptors and memory come back; permissions do not, and the finder asks again."""
    if error.errno in beneath.NO_DESCRIPTORS:
        raise NoDescriptor from None


class Taker:
    """For the thread of its lane. `bundle_for` gives the bundle of a key that takes a file of a size."""

    def __init__(
        self,
        of: Datatype,
        form: Format,
        ledger: Ledger,
        stamps: names.Stamps,
        count: Meters,
        bundle_for: Callable[[str, int], Bundle],
    ) -> None:
        self._of = of
        self._form = form
        self._ledger = ledger
        self._stamps = stamps
        self._count = count
        self._bundle_for = bundle_for
        self._tree = Tree(of.root)
        self._tally: Counter[str] = Counter()
        self._sizes = count.bytes_per_file.labels(of.name)
        self._said: set[str] = set()

    def take(self, name: str, *, closed: bool) -> tuple[Bundle | None, bool]:
        """The bundle that has the file now, and whether to try again soon. Raises `NoDescriptor`."""
        if name in self._ledger:
            self._tally["duplicates"] += 1
            return _NOTHING
        refused = self._form.refuses(name)
        if refused:
            self._ignore(name, "name", refused)
            return _NOTHING
        try:
            descriptor = self._tree.open(name)
        except FileNotFoundError:
            return _NOTHING  # renamed, or deleted; whoever renamed it is told of under the new name
        except OSError as error:
            return self._unopened(name, error)
        try:
            return self._opened(name, descriptor, closed)
        except OSError as error:
            return self._unopened(name, error)
        finally:
            os.close(descriptor)

    def _unopened(self, name: str, error: OSError) -> tuple[Bundle | None, bool]:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            self._ignore(name, "link", "is a symbolic link, or lies behind one")
        elif error.errno == errno.ENXIO:
            self._ignore(name, "kind", "is no regular file")
        else:
            self._tally["open_errors"] += 1
            self._count.event_errors.labels("open").inc()
            self._ignore(name, "open", deletion.words(error))
            _scarce(error)
        return _NOTHING

    def _opened(self, name: str, descriptor: int, closed: bool) -> tuple[Bundle | None, bool]:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            self._ignore(name, "kind", "is no regular file")
            return _NOTHING
        known = watched.leased(descriptor)
        if known is watched.State.WRITING:
            return _NOTHING  # the kernel tells when it is closed
        if not closed:
            age_s = time.time() - status.st_mtime
            if known is watched.State.UNPROVEN and age_s < self._of.max_file_age_s:
                return _NOTHING  # the finder asks again
            if not status.st_size and abs(age_s) < watched.EMPTY_S:
                return None, True  # it may have been made just now, by one who is about to write
        packed = self._ledger.other_name(status)
        if packed is not None and self._moved(packed):
            self._ledger.rename(packed, name)
            self._tally["duplicates"] += 1
            return _NOTHING
        if not sampling.chosen(name, self._of.ratio):
            self._leave_out(name, status)
            return _NOTHING
        return self._pack(name, descriptor, status)

    def _moved(self, member: Member) -> bool:
        """Whether a member is no longer under its name. If it is, the other name is a second link, and another file."""
        try:
            return not member.is_still(self._tree.stat(self._ledger.renamed.get(member.name, member.name)))
        except OSError as error:
            if error.errno in _ELSEWHERE:
                return True
            raise

    def _leave_out(self, name: str, status: os.stat_result) -> None:
        try:
            faults.point("sampled-before-unlink")
            self._tree.unlink(name)
            faults.point("sampled-after-unlink")
            self._tally["skipped"] += 1  # once a file, however often it was tried
            self._count.removed.labels(self._of.name, "skip_file").inc()
        except OSError as error:
            self._count.remove_errors.labels(self._of.name, "skip_file").inc()
            self._say(name, f"not deleted: {deletion.words(error)}")
            _scarce(error)

    def _pack(self, name: str, descriptor: int, status: os.stat_result) -> tuple[Bundle | None, bool]:
        added_us = self._stamps.next()
        try:
            bundle = self._bundle_for(names.key(name), status.st_size)
            bundle.packing.add(name, descriptor, status, added_us)
        except reading.Changed as error:
            self._tally["read_errors"] += 1
            self._say(name, str(error))
            return None, True
        except reading.TooLarge as error:
            self._ignore(name, "size", str(error))
            return _NOTHING
        except reading.Bad as error:
            self._quarantine(name, str(error))
            return _NOTHING
        except OSError as error:
            self._tally["read_errors"] += 1
            self._say(name, f"cannot be read: {deletion.words(error)}")
            _scarce(error)
            return _NOTHING
        member = Member(name, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, added_us)
        self._ledger.add(member)
        bundle.members.append(member)
        self._tally["added"] += 1
        self._sizes.observe(status.st_size)
        odd = names.lint(name)
        if odd:
            self._tally["strange"] += 1
            self._say(name, odd)
        return bundle, False

    def _quarantine(self, name: str, why: str) -> None:
        try:
            to = quarantine.move(self._tree, name, self._of.state / quarantine.FOLDER)
        except OSError as error:
            self._tally["read_errors"] += 1
            self._say(name, f"{why}; not moved aside: {deletion.words(error)}")
            _scarce(error)
            return
        self._tally["quarantined"] += 1
        _LOG.error("%s: %r %s; moved to %s", self._of.name, name, why, to)

    def _ignore(self, name: str, reason: str, why: str) -> None:
        self._count.ignored.labels(self._of.name, reason).inc()
        self._say(name, why)

    def _say(self, name: str, why: str) -> None:
        """Once a file: the finder comes by again and again."""
        if name not in self._said:
            if len(self._said) >= _SAID_LIMIT:
                self._said.clear()
            self._said.add(name)
            _LOG.warning("%s: %r %s", self._of.name, name, why)

    def report(self) -> None:
        """Counters cost a microsecond each: once a batch, not once a file."""
        tally, self._tally = self._tally, Counter()
        if "duplicates" in tally:
            self._count.duplicates.labels(self._of.name, "add_file").inc(tally.pop("duplicates"))
        for name, many in tally.items():
            getattr(self._count, name).labels(self._of.name).inc(many)

    def close(self) -> None:
        with suppress(OSError):
            self._tree.close()
