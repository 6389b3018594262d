"""Kubernetes objects of one environment: one derived document per experiment, and one for what all stand on.

Python decides what runs where and computes every name, address and image; jsonnet gives it the shape of manifests.
An object is blamed on the line of its experiment that speaks of it, a system service on the line that pins its image.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from reconcilers.core.errors import ConfigError
from reconcilers.core.model import Id, Json, Resource, Span
from reconcilers.fleet import derive
from reconcilers.fleet.model import Entity, Environment, Experiment, Fleet
from reconcilers.load import codes
from reconcilers.load.jsonnet import Engine

EXPERIMENT, PLATFORM = "kubernetes/experiment.jsonnet", "kubernetes/platform.jsonnet"
METRICS_PORT = 9990
CLUSTER_CIDR = "192.168.0.0/16"
PRODUCTION = "mlab-oti"
NETWORK = "NetworkAttachmentDefinition.k8s.cni.cncf.io"
NETWORKS = Id("CustomResourceDefinition.apiextensions.k8s.io", "network-attachment-definitions.k8s.cni.cncf.io")
SCHEMAS = "schemas"
"""The ConfigMap of an experiment's columns, behind the experiment's name."""
BUILT_IN = frozenset({"default", "kube-system", "kube-public", "kube-node-lease"})
_WORD = re.compile(r"\{(\w+)\}")


def resources(fleet: Fleet, environment: Environment, engine: Engine) -> tuple[Resource, ...]:
    """What the environment's cluster shall hold, sorted by id, with dependencies."""
    found = list(_platform(fleet, environment, engine))
    for experiment in fleet.experiments.values():
        found += _experiment(fleet, environment, engine, experiment)
    known = {resource.id for resource in found}
    linked = (_linked(resource, known) for resource in found)
    return tuple(sorted(linked, key=lambda resource: resource.id))


def _platform(fleet: Fleet, environment: Environment, engine: Engine) -> Iterator[Resource]:
    system, sidecars = fleet.images.get("system"), fleet.images.get("sidecars")
    source = system.span if system else environment.span
    document = {
        "project": environment.project,
        "cluster_cidr": CLUSTER_CIDR,
        "api_address": f"api-platform-cluster.{environment.project}.{environment.services_domain}:6443",
        "images": {**_images(sidecars), **_images(system)},
        "commands": _commands(sidecars),
        "loop": _loop(environment),
    }
    for item in engine.evaluate(PLATFORM, document, source=source):
        span = system.spans.get(f"images.{item['image']}", source) if system and item["image"] else source
        yield _resource(item["manifest"], span, PLATFORM)


def _loop(environment: Environment) -> dict[str, Any] | None:
    """What the loop in the cluster is told; None where the environment names no repository for it."""
    given = environment.data.get("loop", {})
    if not given.get("repository"):
        return None
    return {"env": environment.name, "repository": given["repository"], "targets": given["targets"]}


def _experiment(fleet: Fleet, environment: Environment, engine: Engine, experiment: Experiment) -> Iterator[Resource]:
    document = derived(fleet, environment, experiment)
    if not document["placements"]:
        return
    places = {placement["name"]: placement["position"] for placement in document["placements"]}
    for manifest in engine.evaluate(EXPERIMENT, document, source=experiment.span):
        yield _resource(manifest, _cause(experiment, manifest, places), EXPERIMENT)


def derived(fleet: Fleet, environment: Environment, experiment: Experiment) -> dict[str, Any]:
    """The document of one experiment: placements of this project, placeholders filled in, images as text."""
    data = experiment.data
    project = environment.project
    values = {
        "project": project,
        "domain": environment.services_domain,
        "experiment": experiment.name,
        "data": f"/var/spool/{experiment.name}",
    }
    placements = [
        _placement(data, placement, {**values, "placement": placement["name"]}, position)
        for position, placement in enumerate(data["placements"])
        if project in placement.get("projects", experiment.projects)
    ]
    return {
        "experiment": experiment.name,
        "index": experiment.index,
        "sites_without_slot": [] if experiment.index is None else derive.sites_without_slot(fleet, experiment.index),
        "project": project,
        "namespace": data["namespace"],
        "placements": placements,
        "anonymize": data["anonymize"],
        "datatypes": data["datatypes"],
        "schemas": _schemas(fleet, data["datatypes"]["autoloaded"]),
        "services": data["services"],
        "firewall": data.get("firewall"),
        "sidecars": {**data["sidecars"], "args": _filled(data["sidecars"].get("args", {}), values)},
        "volumes": data["volumes"],
        "images": _images(fleet.images.get("sidecars")),
        "commands": _commands(fleet.images.get("sidecars")),
        "control_plane": environment.data.get("control_plane", []),
        "urls": urls(environment),
    }


def _schemas(fleet: Fleet, datatypes: Sequence[str]) -> dict[str, Any]:
    """Columns by datatype; a file may be allowed to say none, and then somebody in the pod writes them."""
    known = {name: fleet.datatypes[name].data.get("schema") for name in datatypes if name in fleet.datatypes}
    return {name: columns for name, columns in known.items() if columns}


def urls(environment: Environment) -> dict[str, str]:
    """Where a node's programs find the platform's services. Production's Locate has no project in its name."""
    project, domain = environment.project, environment.services_domain
    locate = f"locate.{domain}" if project == PRODUCTION else f"locate.{project}.{domain}"
    downloads = f"gs://downloader-{project}"
    return {
        "heartbeat": f"wss://{locate}/v2/platform/heartbeat-jwt",
        "registration": f"https://siteinfo.{project}.{domain}/v2/sites/registration.json",
        "annotations": f"https://siteinfo.{project}.{domain}/v2/sites/annotations.json",
        "token_exchange": f"https://auth.{project}.{domain}/v0/token/autojoin",
        "maxmind": f"{downloads}/Maxmind/current/GeoLite2-City.tar.gz",
        "routeview_v4": f"{downloads}/RouteViewIPv4/current/routeview.pfx2as.gz",
        "routeview_v6": f"{downloads}/RouteViewIPv6/current/routeview.pfx2as.gz",
    }


def _placement(data: Json, placement: Json, values: Mapping[str, str], position: int) -> dict[str, Any]:
    host = bool(placement["hostNetwork"])
    base = data["container"]
    measurement = {
        **base,
        "name": data["name"],
        "image": placement.get("image", base["image"]),
        "args": [*base["args"], *placement["args"]],
        "env": {**base["env"], **placement["env"]},
        "shell": base["shell"] or placement.get("shell", False),
        "mounts": [*base["mounts"], *placement["mounts"]],
        "root": base["root"] or placement["root"],
        "capabilities": [*base["capabilities"], *placement["capabilities"]],
        "metricsPort": base.get("metricsPort", METRICS_PORT),
        "resources": data.get("resources", {}),
    }
    return {
        "name": placement["name"],
        "position": position,
        "type": placement["type"],
        "hostNetwork": host,
        "selector": placement["selector"],
        "rollout": placement.get("rollout", data["rollout"]),
        "measurement": _container(measurement, values, host=host),
        "containers": [_container(c, values, host=host) for c in (*data["containers"], *placement["containers"])],
        "initContainers": [_container(c, values, host=host) for c in data["initContainers"]],
        "sidecarArgs": _filled(placement["sidecarArgs"], values),
        "sidecarResources": placement["sidecarResources"],
    }


def _container(container: Json, values: Mapping[str, str], *, host: bool) -> dict[str, Any]:
    port = container.get("metricsPort")
    where = "127.0.0.1" if host else "$(PRIVATE_IP)"
    known = {**values, "metrics": f"{where}:{port}"} if port is not None else values
    filled = {key: _filled(container[key], known) for key in ("command", "args", "env") if key in container}
    return {**container, **filled, "image": image(container["image"])}


def image(pinned: Json) -> str:
    """`name:version`, with `@digest` where one is pinned: then it is the digest that is pulled."""
    text = f"{pinned['name']}:{pinned['version']}"
    return f"{text}@{pinned['digest']}" if pinned.get("digest") else text


def _images(entity: Entity | None) -> dict[str, str]:
    if entity is None:
        return {}
    return {name: image(pinned) for name, pinned in entity.data.get("images", {}).items()}


def _commands(entity: Entity | None) -> dict[str, list[str]]:
    """Which program of its image a container runs, by container; those that run the image's own are not in it."""
    pinned = {} if entity is None else entity.data.get("images", {})
    return {name: list(image["command"]) for name, image in pinned.items() if "command" in image}


def _filled(value: Any, values: Mapping[str, str]) -> Any:
    """Placeholders that we know, filled in at any depth; other braces are somebody else's."""
    if isinstance(value, str):
        return _WORD.sub(lambda found: values.get(found[1], found[0]), value)
    if isinstance(value, Mapping):
        return {key: _filled(child, values) for key, child in value.items()}
    return [_filled(child, values) for child in value] if isinstance(value, list | tuple) else value


def _cause(experiment: Experiment, manifest: Json, places: Mapping[str, int]) -> Span:
    """The line that is behind an object: its placement, its rules, its file, its index; else the experiment."""
    kind, name = manifest["kind"], manifest["metadata"]["name"]
    path = "name"
    if kind == "DaemonSet":
        path = f"placements.{places[name]}"
    elif kind == NETWORK.partition(".")[0]:
        path = "index"
    elif kind == "Namespace":
        path = "namespace"
    elif kind == "ConfigMap":
        volume = name.removeprefix(f"{experiment.name}-")
        names = [item["name"] for item in experiment.data["volumes"]]
        other = "datatypes.autoloaded" if volume == SCHEMAS else "firewall"
        path = f"volumes.{names.index(volume)}" if volume in names else other
    return experiment.spans.get(path, experiment.span)


def _resource(manifest: Json, span: Span, file: str) -> Resource:
    """A manifest of the right shape as a resource; a component that makes something else is a defect of ours."""
    try:
        api, kind, meta = str(manifest["apiVersion"]), str(manifest["kind"]), manifest["metadata"]
        name, namespace = str(meta["name"]), meta.get("namespace")
    except (KeyError, TypeError, AttributeError):
        message = f"jsonnet/{file} made something that is no manifest: apiVersion, kind and metadata.name are needed"
        raise ConfigError(f"{span}: {message}", [codes.SHAPE.at(span, message)]) from None
    group = api.rpartition("/")[0]
    return Resource(
        Id(f"{kind}.{group}" if group else kind, f"{namespace}/{name}" if namespace else name), manifest, span
    )


def _linked(resource: Resource, known: Iterable[Id]) -> Resource:
    deps = frozenset(_needs(resource)) & frozenset(known)
    return Resource(resource.id, resource.spec, resource.span, deps)


def _needs(resource: Resource) -> Iterator[Id]:
    """What must be there before: those that are not ours (Secrets, built-in roles) are left out by the caller."""
    spec = resource.spec
    kind, namespace = str(spec["kind"]), spec["metadata"].get("namespace", "")
    if namespace and namespace not in BUILT_IN:
        yield Id("Namespace", namespace)
    if resource.id.kind == NETWORK:
        yield NETWORKS
    if "roleRef" in spec:
        role, group = spec["roleRef"], spec["roleRef"]["apiGroup"]
        yield Id(
            f"{role['kind']}.{group}", role["name"] if role["kind"] == "ClusterRole" else f"{namespace}/{role['name']}"
        )
        for subject in spec["subjects"]:
            if subject["kind"] == "ServiceAccount":
                yield Id("ServiceAccount", f"{subject['namespace']}/{subject['name']}")
    if kind == "DaemonSet":
        yield from _pod_needs(spec["spec"]["template"], namespace)


def _pod_needs(template: Json, namespace: str) -> Iterator[Id]:
    pod = template["spec"]
    if "serviceAccountName" in pod:
        yield Id("ServiceAccount", f"{namespace}/{pod['serviceAccountName']}")
    if "priorityClassName" in pod:
        yield Id("PriorityClass.scheduling.k8s.io", pod["priorityClassName"])
    for volume in pod.get("volumes", ()):
        if "configMap" in volume:
            yield Id("ConfigMap", f"{namespace}/{volume['configMap']['name']}")
    for name in _networks(template["metadata"].get("annotations", {})):
        yield Id(NETWORK, f"default/{name}")


def _networks(annotations: Mapping[str, str]) -> Sequence[str]:
    attached = re.findall(r'"name":\s*"([^"]+)"', annotations.get("k8s.v1.cni.cncf.io/networks", ""))
    default = annotations.get("v1.multus-cni.io/default-network", "").rpartition("/")[2]
    return [*attached, *filter(None, [default])]
