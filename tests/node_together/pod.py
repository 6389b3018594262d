"""A rendered pod as containers of the runtime: what the kubelet does with a manifest, for the parts that ours use.

Volumes become folders of this test, variables their values, `$(NAME)` in arguments is filled in, the pod's security
context holds where a container says nothing else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.manifests.pods import Pod
from tests.node_together.runtime import Container

_VARIABLE = re.compile(r"\$\(([A-Za-z_][A-Za-z0-9_]*)\)")
_UNITS = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "k": 10**3, "M": 10**6, "G": 10**9, "": 1}


@dataclass(frozen=True, slots=True)
class Placed:
    """A pod on a node: where its folders are, and what the fields say that variables come from."""

    pod: Pod
    node: Path
    fields: Mapping[str, str]
    files: Mapping[str, Mapping[str, str]]
    """Of each ConfigMap of the pod's cluster."""

    def container(self, manifest: Mapping[str, Any], more: Mapping[str, str]) -> Container:
        """One container of it; `more` are variables that only the test sets."""
        variables = dict(more)
        for entry in manifest.get("env", ()):
            source = entry.get("valueFrom", {}).get("fieldRef")
            variables[entry["name"]] = entry["value"] if source is None else self.fields[source["fieldPath"]]
        mounts = {
            target: (self.volume(source, name), writable)
            for (target, (source, writable)), name in zip(
                self.pod.mounts(manifest).items(), [m["name"] for m in manifest["volumeMounts"]], strict=True
            )
        }
        return container(self.pod.spec, manifest, variables, mounts)

    def volume(self, source: Mapping[str, Any], name: str) -> Path:
        """The folder behind a volume; at first it is root's, and the pod's own are its group's, too."""
        if "hostPath" in source:
            made = self.node / str(source["hostPath"]["path"]).lstrip("/")
            made.mkdir(mode=0o755, parents=True, exist_ok=True)
            return made
        made = self.node / "pod" / name
        if not made.exists():
            made.mkdir(parents=True)
            if "secret" in source:
                (made / "pusher.json").write_text("{}")
            for file, text in self.files.get(source.get("configMap", {}).get("name", ""), {}).items():
                (made / file).write_text(text)
            os.chown(made, 0, self.pod.spec["securityContext"]["fsGroup"])
            made.chmod(0o2777 if "emptyDir" in source else 0o755)
        return made


def container(
    spec: Mapping[str, Any],
    manifest: Mapping[str, Any],
    variables: Mapping[str, str],
    mounts: Mapping[str, tuple[Path, bool]],
) -> Container:
    """A container of a pod's `spec`. One that names no command has its arguments alone."""
    context = {**spec["securityContext"], **manifest["securityContext"]}
    limit = manifest.get("resources", {}).get("limits", {}).get("memory")
    words = [*manifest.get("command", ()), *manifest.get("args", ())]
    return Container(
        manifest["name"],
        reference(manifest["image"]),
        tuple(_VARIABLE.sub(lambda found: variables[found[1]], word) for word in words),
        variables,
        (context["runAsUser"], context["runAsGroup"]),
        (context["fsGroup"],),
        tuple(context["capabilities"].get("add", ())),
        context.get("readOnlyRootFilesystem", False),
        context.get("allowPrivilegeEscalation", True),
        None if limit is None else quantity_bytes(limit),
        mounts,
    )


def reference(image: str) -> str:
    """The whole name of an image of Docker Hub."""
    first, slash, _ = image.partition("/")
    if not slash:
        return f"docker.io/library/{image}"
    return image if "." in first or ":" in first else f"docker.io/{image}"


def quantity_bytes(text: str) -> int:
    """`512Mi`, in bytes."""
    matched = re.fullmatch(r"([0-9]+)(Ki|Mi|Gi|k|M|G|)", text)
    assert matched, text
    return int(matched[1]) * _UNITS[matched[2]]
