"""M03: what an environment boots is a release that its bucket has, and each release is pinned once and whole."""

from __future__ import annotations

from collections.abc import Iterator

from reconcilers.core.model import Diagnostic
from reconcilers.fleet import boot_images
from reconcilers.fleet.model import Entity, Fleet
from reconcilers.fleet.rules.rule import Absent, Rule, Title, place

RELEASES_TITLE = Title("M03", "image.releases")


def _whole(fleet: Fleet, _absent: Absent) -> Iterator[Diagnostic]:
    """A file belongs to every environment or to one; both would be two contents under one name."""
    for image in fleet.images.values():
        for version, release in (image.data.get("releases") or {}).items():
            for name, own in (release.get("environments") or {}).items():
                for file in sorted(own.keys() & release["files"].keys()):
                    path = f"releases.{version}.environments.{name}"
                    span = place(image.spans, f"{path}.{file}", place(image.spans, path, image.span))
                    message = f"{file} of {version} is pinned for {name} and for every environment; keep one of them"
                    yield RELEASES_TITLE.at(span, message)


def _booted(fleet: Fleet, absent: Absent) -> Iterator[Diagnostic]:
    """As long as no release of a folder is pinned for an environment, somebody else fills its bucket."""
    if absent.any("images"):
        return
    for environment in fleet.environments.values():
        wanted = str(environment.data["images_version"])
        for image in fleet.images.values():
            pinned = _pinned(image, environment.name)
            if pinned and wanted not in pinned:
                span = place(environment.spans, "images_version", environment.span)
                known = ", ".join(sorted(pinned))
                message = (
                    f"{environment.name} boots {wanted}, which {image.name} does not pin for it (it pins {known}); "
                    f"pin the release first, then boot it"
                )
                yield RELEASES_TITLE.at(span, message, related=((image.span, "the releases"),))


def _pinned(image: Entity, environment: str) -> frozenset[str]:
    releases = image.data.get("releases") or {}
    return frozenset(
        version
        for version, release in releases.items()
        if release["built"] is not None and environment in (release.get("environments") or {})
    )


RELEASES = Rule(
    RELEASES_TITLE.code,
    RELEASES_TITLE.name,
    "an environment boots a release that is pinned for it, and each file of a release is pinned once",
    "The boot bucket holds the files that config/images/ pins: those of `files` in every environment, those of "
    f"`environments` in one, with the signed {boot_images.MANIFEST} that names all of them. An environment whose "
    "images_version named another release would leave its machines without anything to boot. Where no release is "
    "pinned for an environment, its bucket is filled by somebody else, and nothing is said.",
    each=_whole,
    across=_booted,
)
