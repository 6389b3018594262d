"""Reads an inventory from what it publishes: `v2/sites/sites.json`, `v2/retired/sites.json`, `v2/sites/hostnames.json`.

From a folder or over HTTP. Sites that are in neither list are published nowhere, so they do not come this way. The list
of experiments is put together again: `sites.json` shows the first dozen with all that is known of each, and the host
names tell of the others.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from reconcilers.core.errors import ConfigError, Permanent, Temporary, UsageError, one_line
from reconcilers.core.model import Diagnostic
from reconcilers.fleet.derive import Entry
from reconcilers.fleet.names import flat
from reconcilers.importing.inventory import (
    Described,
    Host,
    Inventory,
    State,
    domain_of,
    entry,
    host_of,
    hosts_of,
    mapping,
    objects,
    problem,
    refuse,
)

FILES: tuple[tuple[str, State], ...] = (("v2/sites/sites.json", "active"), ("v2/retired/sites.json", "retired"))
HOSTNAMES = "v2/sites/hostnames.json"
MAX_BYTES = 64 << 20
"""The largest file of the public platform has some 4 MB."""
_TIMEOUT_S = (10, 60)
_BUSY = (429, 500, 502, 503, 504)


def read(where: str) -> Inventory:
    """The inventory below a URL or folder that holds `v2/`, or that is `v2/` itself.

    Raises `UsageError` for a place that cannot be one, `Temporary` or `Permanent` for a server that does not give the
    files, `ConfigError` for content that is no inventory.
    """
    base = where.rstrip("/").removesuffix("/v2")
    contents = {file: _json(_bytes(base, file), file) for file in (*(file for file, _ in FILES), HOSTNAMES)}
    hosts = [host for item in objects(contents[HOSTNAMES]) for host in host_of(item)]
    of_site: dict[str, dict[str, Host]] = {}
    for host in hosts:
        of_site.setdefault(host.hostname.split(".")[0].rpartition("-")[2], {})[host.hostname] = host
    sites: dict[str, Described] = {}
    problems: list[Diagnostic] = []
    shown: dict[str, Entry] = {}
    for file, state in FILES:
        for position, item in enumerate(contents[file]):
            origin = f"{file}#{position}"
            name = mapping(item).get("name")
            if not isinstance(name, str):
                problems.append(problem(origin, "is no site: an object with a name"))
            elif name in sites:
                message = f"{name} is published twice, also as {sites[name].origin}; it can be in one place only"
                problems.append(problem(origin, message))
            else:
                nodes = item.get("nodes")
                known = {host.hostname: host for host in hosts_of(nodes)}
                known |= of_site.get(name, {}) if state == "active" else {}
                document = {key: value for key, value in item.items() if key != "nodes"}
                sites[name] = Described(name, state, document, tuple(known.values()), origin)
                for line in _shown(nodes):
                    shown.setdefault(flat(line.name), line)
    if problems or not sites:
        raise refuse(problems or [problem(FILES[0][0], "holds no site")])
    described = tuple(sites[name] for name in sorted(sites))
    return Inventory(base, described, _experiments(described, shown), domain_of(described))


def _shown(nodes: Any) -> Iterator[Entry]:
    """The experiments that nodes show: as many as the site's prefix has room for, from the top of the list."""
    return (entry(item) for node in objects(nodes) for item in objects(node.get("experiments")))


def _experiments(sites: Sequence[Described], shown: Mapping[str, Entry]) -> tuple[Entry, ...]:
    """The list in its order, which is that of the names of the physical machine that has most."""
    virtual = {head for site in sites if _is(site, "virtual") for head, _ in _heads(site)}
    lists = [list(_told(site)) for site in sites if site.state == "active" and _is(site, "physical")]
    longest = max(lists, key=len, default=[])
    told = dict(longest)
    listed = [shown.get(head) or Entry(head.replace("-", "."), told[head], head in virtual, True) for head in told]
    return (*listed, *(entry for head, entry in shown.items() if head not in told))


def _is(site: Described, kind: str) -> bool:
    return mapping(site.document.get("annotations")).get("type") == kind


def _heads(site: Described) -> Iterator[tuple[str, Host]]:
    """What stands before the machine in each host name: an experiment's name, its dots written as dashes."""
    for host in site.hosts:
        head, mark, _ = host.hostname.split(".")[0].rpartition("-mlab")
        if mark:
            yield head, host


def _told(site: Described) -> Iterator[tuple[str, int]]:
    """The experiments of a site's first machine and their indexes: how far their addresses are from the machine's."""
    machines = [host for host in site.hosts if host.hostname.startswith("mlab")]
    if not machines:
        return
    own = machines[0]
    for head, host in _heads(site):
        if host.hostname == f"{head}-{own.hostname}":
            yield head, _number(host.ipv4) - _number(own.ipv4)


def _number(ipv4: str) -> int:
    try:
        return int(IPv4Address(ipv4))
    except ValueError:
        return 0


def _bytes(base: str, file: str) -> bytes:
    scheme = urlsplit(base).scheme
    if scheme in ("http", "https"):
        return _fetched(f"{base}/{file}")
    if "://" in base:
        raise UsageError(f"{scheme}: published files are read over http, https or from a folder")
    path = Path(base) / file
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UsageError(f"{path}: above the limit of {MAX_BYTES:,} bytes")
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}; name what holds v2/") from None


def _fetched(url: str) -> bytes:
    parts = urlsplit(url)
    if parts.username or parts.password:
        raise UsageError("a URL with a user or password in it would end up in logs; the published files need none")
    try:
        with requests.get(url, timeout=_TIMEOUT_S, stream=True) as answer:
            if answer.status_code in _BUSY:
                raise Temporary(f"{url}: HTTP {answer.status_code}; try again later")
            if answer.status_code != 200:
                raise Permanent(f"{url}: HTTP {answer.status_code}; give the URL that holds v2/")
            data = bytearray()
            for piece in answer.iter_content(1 << 16):
                data += piece
                if len(data) > MAX_BYTES:
                    raise Permanent(f"{url}: above the limit of {MAX_BYTES:,} bytes")
            return bytes(data)
    except requests.RequestException as error:
        raise Temporary(f"{url}: cannot be fetched: {one_line(str(error), 120)}") from None


def _json(data: bytes, file: str) -> list[Any]:
    try:
        value = json.loads(data)
    except ValueError as error:
        raise ConfigError(f"{file} is no JSON: {one_line(str(error), 120)}", [problem(file, "is no JSON")]) from None
    if not isinstance(value, list):
        raise refuse([problem(file, "holds no list; it must be a list of objects")])
    return value
