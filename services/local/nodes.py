"""Registers the fleet's machines as nodes, in place of the kubelets that nobody runs on one machine.

Watches the published inventory of one project in the object store (a poll of object generations, as any consumer of
those files does), and keeps exactly those nodes in the cluster: missing ones are created, those of machines that are
gone are deleted, changed labels are put right. Files that cannot be read or make no sense change nothing. Only nodes
with kwok's label are looked at, so a real machine in the same cluster is safe.

Run as `python -m services.local.nodes`; SIGTERM ends it.
"""

from __future__ import annotations

import argparse
import http.client
import json
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from services.local import machine_nodes, probe

MACHINES, REGISTRATION, SITES = (f"v2/sites/{name}.json" for name in ("machines", "registration", "sites"))
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
MERGE_PATCH = "application/merge-patch+json"
POLL_S = 1.0
# Somebody may delete a node by hand: a kubelet would register it again.
RELIST_S = 20.0
WRITERS = 6
_LOG = logging.getLogger("nodes")
Unreachable = (OSError, http.client.HTTPException)


@dataclass(frozen=True, slots=True)
class Options:
    """Where to read, where to write, whose machines."""

    store: str
    bucket: str
    project: str
    api: probe.Access
    state: Path


class Inventory:
    """The last readable content of each published file, fetched again only when its generation moved."""

    def __init__(self, store: str, bucket: str) -> None:
        self._connection = probe.Connection(store)
        self._bucket = bucket
        self._generations: dict[str, str] = {}
        self._contents: dict[str, Any] = {}

    @property
    def generations(self) -> dict[str, str]:
        """Generation of what was read last, by path."""
        return dict(self._generations)

    def refresh(self) -> bool:
        """Whether anything is new. Raises `Unreachable` or `ValueError`."""
        moved = [self._refresh(path) for path in (MACHINES, REGISTRATION, SITES)]
        return any(moved)

    def nodes(self, project: str) -> dict[str, dict[str, Any]] | None:
        """Wanted nodes by name, None as long as the inventory is not published."""
        if MACHINES not in self._contents or REGISTRATION not in self._contents:
            return None
        sites = self._contents.get(SITES, [])
        return machine_nodes.wanted(self._contents[MACHINES], self._contents[REGISTRATION], sites, project)

    def _refresh(self, path: str) -> bool:
        url = f"/storage/v1/b/{quote(self._bucket, safe='')}/o/{quote(path, safe='')}"
        answer = self._connection.request("GET", url)
        if answer.status == 404:
            return False
        if answer.status != 200:
            raise ValueError(f"{self._bucket}/{path}: the object store answers {answer.status}")
        generation = str(answer.json()["generation"])
        if self._generations.get(path) == generation:
            return False
        content = self._connection.request("GET", f"{url}?alt=media&generation={generation}")
        if content.status != 200:
            raise ValueError(f"{self._bucket}/{path}: generation {generation} answers {content.status}")
        self._contents[path] = content.json()
        self._generations[path] = generation
        return True


class Cluster:
    """The nodes of the API server; writes go over a few connections at once, one per thread."""

    def __init__(self, api: probe.Access) -> None:
        self._api = api
        self._local = threading.local()

    def labels(self) -> dict[str, dict[str, str]]:
        """Labels of every node of ours, by name."""
        selector = quote(",".join(f"{key}={value}" for key, value in machine_nodes.NODE_SELECTOR.items()))
        answer = self._connection().request("GET", f"/api/v1/nodes?labelSelector={selector}", accept=METADATA_ONLY)
        self._expect(answer, "nodes", 200)
        return {item["metadata"]["name"]: item["metadata"].get("labels") or {} for item in answer.json()["items"] or ()}

    def create(self, node: dict[str, Any]) -> None:
        """Register; a node that is there already is fine."""
        self._expect(self._connection().request("POST", "/api/v1/nodes", node), node["metadata"]["name"], 201, 409)

    def delete(self, name: str) -> None:
        """Take a node away; an absent one is fine."""
        self._expect(self._connection().request("DELETE", f"/api/v1/nodes/{name}"), name, 200, 404)

    def relabel(self, name: str, changed: dict[str, str | None]) -> None:
        """Merge labels; a node that went meanwhile is created by the next round."""
        patch = {"metadata": {"labels": changed}}
        answer = self._connection().request("PATCH", f"/api/v1/nodes/{name}", patch, kind=MERGE_PATCH)
        self._expect(answer, name, 200, 404)

    def _connection(self) -> probe.Connection:
        if not hasattr(self._local, "connection"):
            self._local.connection = self._api.connect()
        connection: probe.Connection = self._local.connection
        return connection

    @staticmethod
    def _expect(answer: probe.Answer, what: str, *statuses: int) -> None:
        if answer.status not in statuses:
            said = answer.body[:200].decode(errors="replace")
            raise ValueError(f"{what}: the API server answers {answer.status}: {said}")


def reconcile(cluster: Cluster, desired: dict[str, dict[str, Any]], writers: ThreadPoolExecutor) -> int:
    """Bring the nodes in line; the number of writes. What fails is logged and left for the next round."""
    present = cluster.labels()
    writes: list[tuple[str, Callable[[], None]]] = []
    for name in sorted(desired.keys() - present.keys()):
        writes.append((name, partial(cluster.create, desired[name])))
    for name in sorted(present.keys() - desired.keys()):
        writes.append((name, partial(cluster.delete, name)))
    for name in sorted(present.keys() & desired.keys()):
        if changed := machine_nodes.differing(present[name], desired[name]["metadata"]["labels"]):
            writes.append((name, partial(cluster.relabel, name, changed)))
    futures = [(name, writers.submit(write)) for name, write in writes]
    for name, future in futures:
        if (error := future.exception()) is not None:
            if not isinstance(error, (*Unreachable, ValueError)):
                raise error
            _LOG.warning("%s: %s", name, error)
    return len(writes)


def run(options: Options, stopping: threading.Event) -> None:
    """Poll until asked to stop."""
    inventory, cluster = Inventory(options.store, options.bucket), Cluster(options.api)
    listed_at = -RELIST_S
    with ThreadPoolExecutor(WRITERS) as writers:
        while True:
            try:
                moved = inventory.refresh()
                desired = inventory.nodes(options.project)
                if desired is not None and (moved or time.monotonic() - listed_at > RELIST_S):
                    started = time.monotonic()
                    writes = reconcile(cluster, desired, writers)
                    # After writes, look again at once: some may have failed.
                    listed_at = -RELIST_S if writes else time.monotonic()
                    if writes:
                        _LOG.info(
                            "%d nodes wanted, %d writes in %.1f s", len(desired), writes, time.monotonic() - started
                        )
                _report(options.state, {"nodes": len(desired or ()), "generations": inventory.generations})
            except (*Unreachable, ValueError, KeyError, TypeError) as error:
                _LOG.warning("%s: %s", type(error).__name__, error)
            if stopping.wait(POLL_S):
                return


def _report(path: Path, state: dict[str, Any]) -> None:
    """What was seen last, for the health check; its presence says that the store was reached once."""
    unfinished = path.with_name(f".{path.name}")
    unfinished.write_text(json.dumps(state))
    unfinished.replace(path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, run, end with 0 on SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m services.local.nodes", description="Register machines as nodes.")
    parser.add_argument("--store", required=True, help="URL of the object store")
    parser.add_argument("--bucket", required=True, help="bucket of the published inventory")
    parser.add_argument("--project", required=True, help="whose machines")
    parser.add_argument("--server", required=True, help="URL of the API server")
    for name in ("ca", "certificate", "key", "state"):
        parser.add_argument(f"--{name}", required=True, type=Path, metavar="FILE")
    given = parser.parse_args(arguments)
    api = probe.Access(given.server, given.ca, given.certificate, given.key)
    stopping = threading.Event()
    for number in _ENDING:
        signal.signal(number, lambda *_: stopping.set())
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    run(Options(given.store, given.bucket, given.project, api, given.state), stopping)
    return 0


_ENDING: Iterable[signal.Signals] = (signal.SIGTERM, signal.SIGINT)


if __name__ == "__main__":
    sys.exit(main())
