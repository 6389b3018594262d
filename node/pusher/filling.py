"""The bundles that are being filled: one for each day's folder, from its first file until it is sealed.

A bundle is sealed when it is large enough, when it is old enough, and when the end has come. What is sealed is handed
on at once, as a shipment.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from node.pusher import names, shipping
from node.pusher.bundle import Bundle, Format
from node.pusher.ledger import Ledger
from node.pusher.meters import Meters
from node.pusher.settings import Datatype

REFUSED_BYTES = 4 << 20
"""What a bundle holds in memory because the disk refuses, before it is sealed."""


class Filling:
    """For the thread of its lane. `send` takes the bundles that are sealed."""

    def __init__(
        self,
        of: Datatype,
        form: Format,
        ledger: Ledger,
        stamps: names.Stamps,
        count: Meters,
        send: Callable[[shipping.Shipment], None],
    ) -> None:
        self._of = of
        self._form = form
        self._ledger = ledger
        self._stamps = stamps
        self._count = count
        self._send = send
        self._bundles: dict[str, Bundle] = {}

    def __len__(self) -> int:
        return len(self._bundles)

    def since(self) -> list[float]:
        """When each was begun, by the monotonic clock."""
        return [bundle.born for bundle in self._bundles.values()]

    def due(self) -> list[float]:
        """When each is old enough, by the monotonic clock."""
        return [bundle.due for bundle in self._bundles.values()]

    def bundle_for(self, key: str, size: int) -> Bundle:
        """The bundle that a file of this size goes into."""
        found = self._bundles.get(key)
        if found is not None and not found.packing.fits(size):
            self._seal(found, "size_threshold_met")
            found = None
        if found is None:
            us = self._stamps.next()
            path = self._of.state / f"{names.stamp(us)}"
            now = time.monotonic()
            wait_s = self._of.wait.longest() if self._of.past(key, us) else self._of.wait.draw()
            found = Bundle(key, us, path, self._form.begin(key, us, path), now, now + wait_s)
            self._bundles[key] = found
            self._count.created.labels(self._of.name).inc()
        return found

    def seal_if_large(self, bundle: Bundle) -> None:
        """After a file came in."""
        if (
            bundle.packing.full()
            or len(bundle.members) >= self._of.max_members
            or bundle.in_memory_bytes > REFUSED_BYTES
        ):
            self._seal(bundle, "size_threshold_met")

    def seal_old(self, now: float) -> None:
        """Those that have waited long enough."""
        for bundle in [each for each in self._bundles.values() if each.due <= now]:
            self._seal(bundle, "age_threshold_met")

    def seal_all(self) -> None:
        """The end has come, or may come."""
        for bundle in list(self._bundles.values()):
            self._seal(bundle, "emergency_upload")

    def _seal(self, bundle: Bundle, reason: str) -> None:
        del self._bundles[bundle.key]
        if not bundle.members:
            for made in bundle.packing.contents:
                made.discard()
            return
        bundle.packing.finish()
        us = bundle.us if self._form.named_at_birth else self._stamps.next()
        self._report(bundle, reason)
        self._send(
            shipping.Shipment(
                name=bundle.path.name,
                key=bundle.key,
                us=us,
                members=tuple(bundle.members),
                object_names=self._form.names(bundle.key, us),
                since=bundle.born,
                bundle=bundle,
                renamed=self._ledger.renamed,
            )
        )

    def _report(self, bundle: Bundle, reason: str) -> None:
        name, contents = self._of.name, bundle.packing.contents
        if any(made.refused is not None for made in contents):
            self._count.disk_refusals.labels(name).inc()
        self._count.upload_calls.labels(name, reason).inc()
        self._count.files_per_bundle.labels(name).observe(len(bundle.members))
        self._count.bytes_per_bundle.labels(name).observe(bundle.size)
        if len(contents) == 2:
            for label, made in zip((name, "index1"), contents, strict=True):
                self._count.jsonl_bytes.labels(label).observe(made.size)
