"""What the demo looks at from outside, as an operator would: nodes and pods by kubectl, rules by Prometheus' API."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests

from services.local import programs


def _environment(state: Path, env: str) -> Mapping[str, Any]:
    document = json.loads((state / "platform" / "platform.json").read_text())
    found: Mapping[str, Any] = document["environments"][env]
    return found


def _kubectl(state: Path, env: str, *words: str) -> str:
    kubeconfig = _environment(state, env)["targets"]["kubernetes"]["kubeconfig"]["secretRef"].removeprefix("file:")
    command = [str(programs.path("kubectl")), "--kubeconfig", kubeconfig, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def wait_for_nodes(state: Path, wanted: Mapping[str, int], *, limit_s: float) -> dict[str, tuple[int, int]]:
    """Nodes and pods Ready by environment, once every machine is there and every placed pod runs."""
    deadline = time.monotonic() + limit_s
    done: dict[str, tuple[int, int]] = {}
    while True:
        for env in [name for name in wanted if name not in done]:
            ready = _kubectl(state, env, "get", "nodes", "--no-headers").count(" Ready ")
            if ready < wanted[env]:
                break
            running = _ready_pods(state, env)
            if running is None:
                break
            done[env] = (ready, running)
        if len(done) == len(wanted):
            return done
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {limit_s:.0f} s only {done or 'no environment'} has all its nodes and pods")
        time.sleep(1.0)


def _ready_pods(state: Path, env: str) -> int | None:
    """Ready pods once every DaemonSet has all of its pods; told by the sets, since a list of all pods is megabytes."""
    sets = json.loads(_kubectl(state, env, "get", "daemonsets", "-A", "-o", "json"))["items"]
    total = 0
    for status in (one["status"] for one in sets):
        if status.get("numberReady", 0) != status.get("desiredNumberScheduled", -1):
            return None
        total += status["numberReady"]
    return total or None


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
