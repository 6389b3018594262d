"""The pods that the committed configuration gives to nodes, as they are rendered for each environment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from node import flags
from reconcilers.core.model import Resource
from reconcilers.fleet.model import Experiment, Fleet
from reconcilers.load import fleet as loading
from reconcilers.load.jsonnet import Engine
from reconcilers.render import kubernetes

CHECKOUT = Path(__file__).parents[2]
ENVIRONMENTS = ("production", "sandbox", "staging")


@cache
def fleet() -> Fleet:
    return loading.load(CHECKOUT).require()


@cache
def rendered(environment: str = "sandbox") -> tuple[Resource, ...]:
    found = fleet()
    return tuple(kubernetes.resources(found, found.environments[environment], Engine(CHECKOUT / "jsonnet", None)))


@dataclass(frozen=True, slots=True)
class Pod:
    """The template of one placement of an experiment."""

    environment: str
    placement: str
    experiment: Experiment
    template: Mapping[str, Any]

    @property
    def spec(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.template["spec"]
        return found

    @property
    def annotations(self) -> Mapping[str, str]:
        found: Mapping[str, str] = self.template["metadata"]["annotations"]
        return found

    @property
    def on_host(self) -> bool:
        return bool(self.spec.get("hostNetwork"))

    @property
    def spool(self) -> str:
        return f"/var/spool/{self.experiment.name}"

    def container(self, name: str, kind: str = "containers") -> Mapping[str, Any]:
        (found,) = (c for c in self.spec.get(kind, ()) if c["name"] == name)
        return dict(found)

    def names(self, kind: str = "containers") -> list[str]:
        return [c["name"] for c in self.spec.get(kind, ())]

    def mounts(self, container: Mapping[str, Any]) -> dict[str, tuple[Mapping[str, Any], bool]]:
        """Of each mount path: the volume's source without its name, and whether it may be written."""
        volumes = {v["name"]: {k: value for k, value in v.items() if k != "name"} for v in self.spec["volumes"]}
        return {
            m["mountPath"]: (volumes[m["name"]], not m.get("readOnly", False))
            for m in container.get("volumeMounts", ())
        }


@cache
def pods(environment: str) -> tuple[Pod, ...]:
    """Of every experiment, every placement of this environment's project."""
    found = {placement["name"]: e for e in fleet().experiments.values() for placement in e.data["placements"]}
    made = []
    for resource in rendered(environment):
        name = resource.spec["metadata"]["name"]
        if resource.id.kind == "DaemonSet.apps" and name in found:
            made.append(Pod(environment, name, found[name], resource.spec["spec"]["template"]))
    return tuple(made)


def measuring() -> list[Pod]:
    """All that record and carry data away, in all environments."""
    return [pod for name in ENVIRONMENTS for pod in pods(name) if pod.experiment.data["sidecars"]["measurement"]]


def containers(kind: str, name: str) -> Iterator[Mapping[str, Any]]:
    """Of every pod of the sandbox, system services too, `containers` or `initContainers` of a name."""
    for resource in rendered():
        if resource.id.kind in ("DaemonSet.apps", "Deployment.apps"):
            for container in resource.spec["spec"]["template"]["spec"].get(kind, ()):
                if container["name"] == name:
                    yield container


def started(container: Mapping[str, Any], of: Sequence[flags.Flag]) -> dict[str, Any]:
    """What the program makes of its arguments and variables."""
    variables = {entry["name"]: entry.get("value", "set elsewhere") for entry in container.get("env", ())}
    return flags.parse(of, container.get("args", ()), variables)
