"""What the demo looks at from outside, as an operator would: nodes and pods by kubectl, rules by Prometheus' API."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from services.local import programs

POLL_S = 3.0
TELL_S = 20.0


def _environment(state: Path, env: str) -> Mapping[str, Any]:
    document = json.loads((state / "platform" / "platform.json").read_text())
    found: Mapping[str, Any] = document["environments"][env]
    return found


def _kubectl(state: Path, env: str, *words: str) -> str:
    kubeconfig = _environment(state, env)["targets"]["kubernetes"]["kubeconfig"]["secretRef"].removeprefix("file:")
    command = [str(programs.path("kubectl")), "--kubeconfig", kubeconfig, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


@dataclass(frozen=True, slots=True)
class Readiness:
    """How far one cluster is."""

    nodes: int
    pods: int
    wanted_pods: int
    """As many as its DaemonSets want on the nodes that are there by now."""


def wait_for_nodes(
    state: Path, wanted: Mapping[str, int], *, stall_s: float, tell: Callable[[str], None]
) -> dict[str, Readiness]:
    """Readiness by environment once every machine is there and every placed pod runs, with a line of each now and then.

    Raises TimeoutError when nothing moved for `stall_s`: how long the whole takes is a matter of the machine.
    """
    found: dict[str, Readiness] = {}
    told: dict[str, float] = {}
    done: set[str] = set()
    moved = time.monotonic()
    while True:
        for env in [name for name in wanted if name not in done]:
            now = _readiness(state, env)
            if now != found.get(env):
                found[env], moved = now, time.monotonic()
            if now.nodes >= wanted[env] and now.pods == now.wanted_pods > 0:
                done.add(env)
            if env in done or time.monotonic() - told.get(env, 0.0) > TELL_S:
                tell(f"{env}: {now.nodes} of {wanted[env]} nodes Ready, {now.pods} of {now.wanted_pods} pods Ready")
                told[env] = time.monotonic()
        if len(done) == len(wanted):
            return found
        if time.monotonic() - moved > stall_s:
            raise TimeoutError(
                f"nothing got Ready for {stall_s:.0f} s; done so far: {', '.join(sorted(done)) or 'none'}"
            )
        time.sleep(POLL_S)


def _readiness(state: Path, env: str) -> Readiness:
    """Pods are told by the DaemonSets, since a list of all pods is megabytes."""
    nodes = _kubectl(state, env, "get", "nodes", "--no-headers").count(" Ready ")
    sets = json.loads(_kubectl(state, env, "get", "daemonsets", "-A", "-o", "json"))["items"]
    seen = [one.get("status", {}) for one in sets]
    # A set that its controller has not seen yet wants an unknown number: more than it has.
    wanted = sum(one.get("desiredNumberScheduled", 1) if "observedGeneration" in one else 1 for one in seen)
    return Readiness(nodes, sum(one.get("numberReady", 0) for one in seen), wanted)


def edit_daemonset(state: Path, env: str) -> None:
    """Change a field that git owns on the first NDT DaemonSet, as somebody in a hurry would."""
    sets = json.loads(_kubectl(state, env, "get", "daemonsets", "-A", "-o", "json"))["items"]
    found = next(one["metadata"] for one in sets if one["metadata"]["name"].startswith("ndt"))
    patch = json.dumps({"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 7}}}})
    words = ("patch", "daemonset", found["name"], "-n", found["namespace"], "--type", "merge", "-p", patch)
    print(f"  $ kubectl patch daemonset {found['name']} -n {found['namespace']} -p '{patch}'")
    print(f"    {_kubectl(state, env, *words).strip()}")


def rule_names(state: Path, env: str) -> list[str]:
    """Every rule that the environment's Prometheus evaluates, by group and name."""
    url = _environment(state, env)["targets"]["monitoring"]["prometheus_url"]
    answer = requests.get(f"{url}/api/v1/rules", timeout=10)
    answer.raise_for_status()
    return sorted(
        f"{group['name']}/{rule['name']}" for group in answer.json()["data"]["groups"] for rule in group["rules"]
    )
