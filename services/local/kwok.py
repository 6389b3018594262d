"""kwok: keeps far-away machines that do not exist Ready, and their pods Running.

It touches nothing but nodes with the label `type=kwok` and the pods on them: a real machine in the same cluster is
left to its own kubelet. What happens to a node or a pod is data, in `stages.yaml`.
"""

from __future__ import annotations

from pathlib import Path

from services.local import controlplane, programs
from services.local.controlplane import LOOPBACK, Credentials, Place
from services.local.probe import Check
from services.local.processes import Launch
from services.local.starting import Part

SELECTOR = ("type", "kwok")
STAGES = Path(__file__).with_name("stages.yaml")
# Renewed at a quarter of this, far below the controller manager's grace. Longer leases make nodes flap.
LEASE_S = 40
POD_NETWORK = "10.128.0.0/14"


def part(place: Place, keys: Credentials, server_port: int) -> Part:
    """kwok of one environment."""
    config = controlplane.kubeconfig(place, keys, keys.admin, server_port)

    def launch(ports: tuple[int, ...]) -> Launch:
        command = (
            str(programs.path("kwok")),
            f"--kubeconfig={config}",
            f"--config={STAGES}",
            f"--manage-nodes-with-label-selector={'='.join(SELECTOR)}",
            f"--node-lease-duration-seconds={LEASE_S}",
            f"--cidr={POD_NETWORK}",
            f"--server-address={LOOPBACK}:{ports[0]}",
        )
        # It looks for a configuration of its own in the home directory; ours is all that it shall read.
        return Launch(f"{place.name}/kwok", command, place.log("kwok"), environment={"HOME": str(place.folder)})

    return Part(f"{place.name}/kwok", launch, lambda ports: Check(f"http://{LOOPBACK}:{ports[0]}/healthz"))
