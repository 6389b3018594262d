"""The servers of ours on one machine, one set per environment: object store, ePoxy, stand-in, node registrar.

Each is a Python module run by this very interpreter, so the platform always runs the checkout that started it.
"""

from __future__ import annotations

import secrets
import sys
from pathlib import Path

from reconcilers.fleet import boot_images
from services.local import certificates
from services.local.controlplane import LOOPBACK, Place
from services.local.probe import Access, Check
from services.local.processes import Launch
from services.local.starting import Part

SOURCE = Path(__file__).parents[2]


def admin_token_file(place: Place) -> Path:
    """Where the token of ePoxy's administration API lies, mode 0600."""
    return place.folder / "epoxy" / "admin-token"


def objectstore(place: Place) -> Part:
    """The buckets. It has no authentication, so it never leaves loopback, whatever the listen address."""

    def launch(ports: tuple[int, ...]) -> Launch:
        listen = f"--listen={LOOPBACK}:{ports[0]}"
        return module(place, "objectstore", "services.local.objectstore", listen, f"--data={place.folder / 'objects'}")

    return Part(
        f"{place.name}/objectstore", launch, lambda ports: Check(f"http://{LOOPBACK}:{ports[0]}/storage/v1/b?project=p")
    )


def operations_file(place: Place) -> Path:
    """The table of ePoxy's extension operations, empty until there is somebody to serve them."""
    return place.folder / "epoxy" / "operations.json"


def epoxy(place: Place, project: str, store_url: str) -> Part:
    """The boot server and its host registry, with an administrator's token of this run and the boot bucket behind it.

    On loopback, whatever the listen address: this listener is plain HTTP, and the token of the administration may not
    cross a network in clear text. The bucket is not public; the object store takes any token for a known reader's.
    """

    def launch(ports: tuple[int, ...]) -> Launch:
        token = admin_token_file(place)
        certificates.write_private(token, f"{secrets.token_urlsafe(32)}\n".encode())
        bucket_token = token.with_name("bucket-token")
        certificates.write_private(bucket_token, f"{secrets.token_urlsafe(32)}\n".encode())
        if not operations_file(place).exists():
            operations_file(place).write_text("{}\n")
        return module(
            place,
            "epoxy",
            "services.epoxy",
            f"--listen={LOOPBACK}:{ports[0]}",
            f"--store=sqlite://{place.folder / 'epoxy' / 'hosts.sqlite'}",
            f"--admin-token-file={token}",
            f"--storage-prefix-url={store_url}/{boot_images.BUCKET.format(project=project)}",
            f"--storage-token-file={bucket_token}",
            f"--operations={operations_file(place)}",
        )

    def check(ports: tuple[int, ...]) -> Check:
        return Check(f"http://{LOOPBACK}:{ports[0]}/healthz")

    return Part(f"{place.name}/epoxy", launch, check)


def standin(place: Place) -> Part:
    """Answers every scrape and probe for the fleet, and takes every alert. Ports: scrape proxy, receiver."""

    def launch(ports: tuple[int, ...]) -> Launch:
        return module(
            place,
            "standin",
            "services.local.standin",
            f"--proxy={LOOPBACK}:{ports[0]}",
            f"--receiver={LOOPBACK}:{ports[1]}",
        )

    return Part(f"{place.name}/standin", launch, lambda ports: Check(f"http://{LOOPBACK}:{ports[0]}/healthz"), ports=2)


def nodes(place: Place, project: str, store_url: str, api: Access) -> Part:
    """Registers the project's published machines as nodes; healthy once it has reached the object store."""
    state = place.folder / "nodes.json"

    def launch(ports: tuple[int, ...]) -> Launch:
        return module(
            place,
            "nodes",
            "services.local.nodes",
            f"--store={store_url}",
            f"--bucket=siteinfo-{project}",
            f"--project={project}",
            f"--server={api.url}",
            f"--ca={api.ca}",
            f"--certificate={api.certificate}",
            f"--key={api.key}",
            f"--state={state}",
        )

    return Part(f"{place.name}/nodes", launch, lambda ports: Check(file=str(state)), ports=0)


def module(place: Place, name: str, module: str, *arguments: str) -> Launch:
    """A module run by this very interpreter."""
    command = (sys.executable, "-m", module, *arguments)
    # From the source tree, not from where the user stands: a folder there may bear the name of one of our packages.
    return Launch(f"{place.name}/{name}", command, place.log(name), directory=SOURCE)
