"""What stage1 must know before it decides: which release `latest` means now, and the SHA-256 of each stage's document.

Read before the write, because it may ask the bucket. If the record is changed in between, the boot is refused and the
machine asks again: nothing is begun at a release that was not looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from services.epoxy import beginning, context, manifests, objects, records, sessions, store


@dataclass(frozen=True, slots=True)
class Pins:
    """Releases by the version that the record names; SHA-256 by URL."""

    releases: Mapping[str, str]
    sha256: Mapping[str, str]


async def pins(here: context.Context, name: str, now_ns: int) -> Pins:
    """Raises `Refused` where the bucket does not answer or is not to be trusted, `store.Absent`."""
    images = here.images
    host = await asyncio.to_thread(here.hosts.get, name)
    if host is None:
        raise store.Absent(name)
    choice = beginning.choose(host, now_ns)
    try:
        pointed = await images.latest(here.http()) if choice.version == beginning.LATEST else None
        release = pointed or choice.version
        found = await _sha256(here, host, choice, release) if images.required else {}
    except manifests.Untrusted as error:
        raise sessions.Refused("image-untrusted", str(error), status=500) from None
    except objects.Unreachable as error:
        raise sessions.Refused("storage", f"the bucket does not answer: {error}", status=503, retry_after_s=5) from None
    return Pins({choice.version: release}, found)


async def _sha256(here: context.Context, host: records.Host, choice: beginning.Choice, release: str) -> dict[str, str]:
    found = {}
    for url in beginning.chain(host, choice, release).values():
        name = here.images.name_of(url)
        if name is None:
            raise manifests.Untrusted(f"{url}: lies outside the bucket whose manifests are trusted")
        file = await here.images.file(here.http(), name)
        if file is not None:
            found[url] = file.sha256
    return found
