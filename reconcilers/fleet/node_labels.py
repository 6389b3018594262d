"""The labels that nodes of the platform cluster really get, by type of machine, and the values that each may have.

They are set once, when a machine registers (`node-labels` of its kubelet): a physical one's by its last boot stage, a
virtual one's by its instance's metadata. A workload that selects by anything else runs nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping

ANY: frozenset[str] = frozenset()
"""Any value at all: the label holds a name that the fleet knows."""
_EVERYWHERE: Mapping[str, frozenset[str]] = {
    "mlab/machine": frozenset({"mlab1", "mlab2", "mlab3", "mlab4"}),
    "mlab/site": ANY,
    "mlab/metro": ANY,
    "mlab/project": ANY,
    "kubernetes.io/hostname": ANY,
    "kubernetes.io/arch": frozenset({"amd64"}),
    "kubernetes.io/os": frozenset({"linux"}),
}
LABELS: Mapping[str, Mapping[str, frozenset[str]]] = {
    "physical": {
        **_EVERYWHERE,
        "mlab/type": frozenset({"physical"}),
        "mlab/ndt-version": frozenset({"production"}),
        "mlab/managed": frozenset({"switch-machine", "machine", "unknown"}),
        "mlab/donated": frozenset({"true", "false"}),
    },
    "virtual": {
        **_EVERYWHERE,
        "mlab/type": frozenset({"virtual"}),
        "mlab/run": frozenset({"ndt", "ndt-canary", "ndt-autojoin"}),
    },
}
