"""The whole platform on one machine: one set of real servers per environment, started, shown and taken away.

It starts in two stages. `light` is what needs no Go program (object store, ePoxy, name server), so that a first plan is
seen within seconds on a machine that has yet to build the rest; `full` is everything, and adds to a light one. A start
that did not come to its end, killed or failed, is cleaned up by the next `up` or `down`; settings that differ from a
running platform's make a new one. Where everything is, is in `platform.json`: a patch per environment, without any
secret in it, that points every target at loopback.
"""

from __future__ import annotations

import ipaddress
import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from services.local import (
    controlplane,
    joining,
    kwok,
    monitoring,
    nameserver,
    namespace,
    processes,
    programs,
    servers,
    starting,
)
from services.local import ports as port_numbers
from services.local import state as states
from services.local.controlplane import LOOPBACK, Place
from services.local.errors import PlatformError
from services.local.processes import Running
from services.local.progress import Progress
from services.local.starting import Part
from services.local.state import State

Stage = Literal["light", "full"]
STAGES: tuple[str, ...] = ("light", "full")
LIGHT = ("objectstore", "epoxy", "named")
FULL = (
    *LIGHT,
    "standin",
    "prometheus",
    "alertmanager",
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kwok",
    "nodes",
    joining.TOKENS,
    joining.APPROVER,
)
# A fleet of pods scraped each minute would cost this one machine 40 % of a core.
SCRAPE_INTERVAL = "4m"
LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
HOST_NAME = re.compile(rf"(?=.{{1,253}}$)(\*\.)?{LABEL}(\.{LABEL})*", re.IGNORECASE)
# A target that is not started yet must not be looked for where production has it: nobody listens on this port.
NOWHERE = f"http://{LOOPBACK}:9"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a platform is made with. `environments` maps an environment's name to its project, `zones` to its zones."""

    environments: Mapping[str, str]
    zones: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    listen: str = LOOPBACK
    extra_names: tuple[str, ...] = ()
    namespace: str | None = None


@dataclass(frozen=True, slots=True)
class Server:
    """One line of `status`: `problem` is "" for a healthy program."""

    environment: str
    program: str
    pid: int
    ports: tuple[int, ...]
    problem: str
    log: str


def up(folder: Path, settings: Settings, progress: Progress, *, stage: Stage = "full") -> Path:
    """Start what is missing for a stage and return the path of `platform.json`. Raises `PlatformError`."""
    _check(settings)
    folder = folder.resolve()
    if stage == "full":
        # Before the lock: a cold build takes minutes, and needs the network that a namespace may not have.
        programs.build(progress=progress)
    with states.locked(folder, progress), namespace.entered(settings.namespace):
        # An address that is none of this machine's is found now, before a platform that runs is taken away.
        port_numbers.free(1, settings.listen)
        before = _usable(folder, settings, progress)
        if before is not None and STAGES.index(before.stage) >= STAGES.index(stage):
            progress.say(f"the platform runs already: {folder / states.PLATFORM}")
            return folder / states.PLATFORM
        wanted = _state(settings, stage)
        states.store(folder, replace(wanted, starting=True))
        try:
            _run(_Start(folder, settings, progress), stage)
            states.replace(folder / states.PLATFORM, json.dumps(describe(folder, settings, stage), indent=2) + "\n")
            states.store(folder, wanted)
        except BaseException:
            progress.say("the start did not come to its end: stopping what was started")
            states.stop_all(folder)
            raise
    return folder / states.PLATFORM


def down(folder: Path, progress: Progress) -> None:
    """Stop everything that was ever started from this folder and remove it; nothing there is fine."""
    folder = folder.resolve()
    if not folder.is_dir():
        return
    with states.locked(folder, progress):
        killed = states.stop_all(folder)
        for running in killed:
            progress.say(f"{running.name}: did not stop within {states.GRACE_S:.0f} s and was killed")
        states.wipe(folder)
        states.remove(folder)


def status(folder: Path) -> tuple[Server, ...]:
    """Every program of the platform with what is wrong with it; empty if none was started here."""
    folder = folder.resolve()
    state = states.load(folder)
    if state is None:
        return ()
    with namespace.entered(state.namespace):
        found = []
        for running in processes.recorded(states.records(folder)):
            environment, _, program = running.name.partition("/")
            found.append(
                Server(environment, program, running.pid, running.ports, starting.missing(running), running.log)
            )
        return tuple(found)


def describe(folder: Path, settings: Settings, stage: Stage) -> dict[str, Any]:
    """The content of `platform.json`."""
    ports = {running.name: running.ports for running in processes.recorded(states.records(folder))}
    return {
        "v": 1,
        "stage": stage,
        "environments": {
            name: _patch(_place(folder, settings, name), ports, dns=bool(settings.zones.get(name)))
            for name in settings.environments
        },
    }


def _check(settings: Settings) -> None:
    """Refuse what could only fail later, or would be looked up in the DNS. Raises `PlatformError`."""
    if not settings.environments:
        raise PlatformError("no environment to start: name at least one")
    if not _is_address(settings.listen, ipaddress.IPv4Address):
        raise PlatformError(f"listen address {settings.listen}: not an IPv4 address, such as 0.0.0.0 for all of them")
    for name in settings.extra_names:
        if not _is_address(name, ipaddress.ip_address) and not HOST_NAME.fullmatch(name):
            raise PlatformError(f"certificate name {name}: neither an address nor a host name")


def _is_address(text: str, kind: Callable[[str], object]) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class _Start:
    """One start: what its threads share."""

    folder: Path
    settings: Settings
    progress: Progress
    cancelled: threading.Event = field(default_factory=threading.Event)

    def part(self, part: Part) -> Running:
        """Start one part unless it runs already."""
        for running in processes.recorded(states.records(self.folder)):
            if running.name == part.name:
                return running
        return starting.start(part, states.records(self.folder), self.progress, self.cancelled)

    def place(self, environment: str) -> Place:
        return _place(self.folder, self.settings, environment)


def _usable(folder: Path, settings: Settings, progress: Progress) -> State | None:
    """The state of a sound platform with these very settings; anything else that is there is taken away."""
    state = states.load(folder)
    if state is None:
        return None
    if state.starting:
        problem = "an earlier start did not come to its end"
    elif replace(_state(settings, "full"), stage=state.stage) != state:
        problem = "the platform that runs has other settings"
    else:
        problem = states.ailing(folder)
    if not problem:
        return state
    progress.say(f"{problem}: cleaning up and starting anew")
    states.stop_all(folder)
    states.wipe(folder)
    return None


def _run(start: _Start, stage: Stage) -> None:
    """Start the parts of a stage, in parallel where they allow it."""
    names = start.settings.environments
    light = [partial(task, start, name) for name in names for task in (_epoxy, _named)]
    rest = [partial(task, start, name) for name in names for task in (_kubernetes, _standin, _monitoring)]
    present = len(processes.recorded(states.records(start.folder)))
    count = len(start.settings.environments) * len(FULL if stage == "full" else LIGHT)
    count -= sum(not start.settings.zones.get(name) for name in names)
    start.progress.begin(f"starting the platform in {start.folder}", count - present)
    _all(start, light)
    if stage == "full":
        _all(start, rest)


def _all(start: _Start, tasks: Sequence[Callable[[], object]]) -> None:
    """Run tasks side by side; the first failure cancels the others, and is what is raised."""
    with ThreadPoolExecutor(max_workers=len(tasks)) as threads:
        try:
            futures: list[Future[object]] = [threads.submit(task) for task in tasks]
            ended, _ = wait(futures, return_when=FIRST_EXCEPTION)
        except BaseException:
            start.cancelled.set()
            raise
        if any(future.exception() for future in ended):
            start.cancelled.set()
    failures = [error for future in futures if (error := future.exception()) is not None]
    # Those that were cancelled failed because of another one, which is the one to tell of.
    for error in sorted(failures, key=lambda error: isinstance(error, starting.Cancelled)):
        raise error


def _kubernetes(start: _Start, environment: str) -> None:
    """The control plane of one environment, each program as soon as what it needs is there."""
    place = start.place(environment)
    keys = controlplane.credentials(place)
    etcd = start.part(controlplane.etcd(place))
    server = start.part(controlplane.apiserver(place, keys, etcd.ports[0]))
    api = controlplane.access(place, keys, server.ports[0])
    joining.prepare(place, api)
    start.part(controlplane.controller_manager(place, keys, server.ports[0]))
    start.part(controlplane.scheduler(place, keys, server.ports[0]))
    start.part(kwok.part(place, keys, server.ports[0]))
    url = f"http://{LOOPBACK}:{_objectstore(start, environment).ports[0]}"
    start.part(servers.nodes(place, start.settings.environments[environment], url, api))
    joining.offer(place, start.part(joining.server(place, api)).ports[0])
    start.part(joining.approver(place, api))


def _objectstore(start: _Start, environment: str) -> Running:
    return start.part(servers.objectstore(start.place(environment)))


def _epoxy(start: _Start, environment: str) -> Running:
    """The object store, then the boot server in front of it."""
    url = f"http://{LOOPBACK}:{_objectstore(start, environment).ports[0]}"
    return start.part(servers.epoxy(start.place(environment), start.settings.environments[environment], url))


def _named(start: _Start, environment: str) -> None:
    """The name server, where the environment has zones."""
    zones = start.settings.zones.get(environment)
    if zones:
        start.part(nameserver.named(start.place(environment), zones))


def _standin(start: _Start, environment: str) -> Running:
    return start.part(servers.standin(start.place(environment)))


def _monitoring(start: _Start, environment: str) -> None:
    place = start.place(environment)
    monitoring.prepare(place)
    start.part(monitoring.prometheus(place))
    start.part(monitoring.alertmanager(place))


def _place(folder: Path, settings: Settings, environment: str) -> Place:
    return Place(
        environment, folder / environment, folder / "logs" / environment, settings.listen, settings.extra_names
    )


def _state(settings: Settings, stage: Stage) -> State:
    zones = {name: list(zones) for name, zones in settings.zones.items()}
    return State(
        stage, False, dict(settings.environments), settings.listen, settings.extra_names, settings.namespace, zones
    )


def _patch(place: Place, ports: Mapping[str, tuple[int, ...]], *, dns: bool) -> dict[str, Any]:
    """Where the targets of one environment are; those not started yet are pointed at nothing, on loopback."""

    def url(program: str, index: int = 0) -> str:
        found = ports.get(f"{place.name}/{program}")
        return f"http://{LOOPBACK}:{found[index]}" if found else NOWHERE

    kubeconfig = place.folder / "admin.kubeconfig"
    server = f"{LOOPBACK}:{ports.get(f'{place.name}/{nameserver.PROGRAM}', (9,))[0]}"
    tools = {name: programs.find(name) for name in ("promtool", "amtool")}
    return {
        "targets": {
            "epoxy": {
                "url": url("epoxy") + "/admin",
                "token": {"secretRef": f"file:{servers.admin_token_file(place)}"},
                "ca_file": None,
            },
            "buckets": {"endpoint": url("objectstore"), "anonymous": True},
            **({"dns": _dns(place, server)} if dns else {}),
            "kubernetes": {"kubeconfig": {"secretRef": f"file:{kubeconfig}"}, "context": None},
            "monitoring": {
                "prometheus_url": url("prometheus"),
                "alertmanager_url": url("alertmanager"),
                "directory": str(monitoring.directory(place)),
                **{name: str(found or name) for name, found in tools.items()},
            },
        },
        "monitoring": {
            "scrape_proxy_url": url("standin"),
            "receiver_url": url("standin", index=1),
            "kubeconfig_file": str(kubeconfig),
            "scrape_interval": SCRAPE_INTERVAL,
        },
    }


def _dns(place: Place, server: str) -> dict[str, Any]:
    """Updates and questions go to our server, whatever serves the zones elsewhere."""
    return {
        "provider": "rfc2136",
        "server": server,
        "key": {"secretRef": f"file:{nameserver.key_file(place)}"},
        "ask": [server],
    }
