"""A real Kubernetes control plane of one environment: etcd, API server, controller manager, scheduler.

Set up so that a real kubelet can join later: bootstrap tokens (their rights: `joining`), NodeRestriction, a client
certificate for the way to the kubelets, their InternalIP before their names. Switches that differ from production's
defaults (no fsync, no fairness, fewer controllers, short-lived events) are for three control planes on one small
machine, and each says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from services.local import certificates, probe, programs
from services.local.certificates import Authority, Pair
from services.local.probe import Check
from services.local.processes import Launch
from services.local.starting import Part

SERVICE_NETWORK = "10.96.0.0/16"
SERVER_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
FIRST_SERVICE = "10.96.0.1"
EVERYWHERE = "0.0.0.0"
LOOPBACK = "127.0.0.1"
# Nodes renew a lease of 40 s every 10 s; on a loaded machine some come late, and the default grace of 50 s then turns
# pods not Ready for no reason of the fleet's.
NODE_GRACE = "2m0s"
# Controllers of features that no object of ours uses: each costs memory and watches.
UNUSED_CONTROLLERS = (
    "cronjob-controller",
    "device-taint-eviction-controller",
    "ephemeral-volume-controller",
    "horizontal-pod-autoscaler-controller",
    "legacy-serviceaccount-token-cleaner-controller",
    "persistentvolume-attach-detach-controller",
    "persistentvolume-binder-controller",
    "persistentvolume-expander-controller",
    "persistentvolume-protection-controller",
    "persistentvolumeclaim-protection-controller",
    "podcertificaterequest-cleaner-controller",
    "replicationcontroller-controller",
    "resourceclaim-controller",
    "storage-version-migrator-controller",
    "ttl-controller",
    "volumeattributesclass-protection-controller",
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where one environment's control plane lives and listens."""

    name: str
    folder: Path
    logs: Path
    listen: str = LOOPBACK
    extra_names: tuple[str, ...] = ()

    def log(self, program: str) -> Path:
        """The one place of a program's log."""
        return self.logs / f"{program}.log"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Everything that proves who is who in one control plane."""

    ca: Authority
    serving: Pair
    local: Pair
    """Serving certificate of the controller manager and the scheduler, which are asked from this machine only."""
    admin: Pair
    controllers: Pair
    scheduler: Pair
    kubelet_client: Pair
    accounts: Pair


def reach(listen: str) -> str:
    """The address at which this machine reaches a server that listens there."""
    return LOOPBACK if listen == EVERYWHERE else listen


def credentials(place: Place) -> Credentials:
    """New keys and certificates in `folder/pki`."""
    pki = place.folder / "pki"
    ca = certificates.authority(pki, f"mlab {place.name} control plane")
    names = {*SERVER_NAMES, FIRST_SERVICE, LOOPBACK, reach(place.listen), *place.extra_names}
    return Credentials(
        ca=ca,
        serving=certificates.serving(ca, pki, "kube-apiserver", names),
        local=certificates.serving(ca, pki, "local", [LOOPBACK, "localhost"]),
        admin=certificates.client(ca, pki, "admin", user="mlab-admin", groups=["system:masters"]),
        controllers=certificates.client(ca, pki, "controllers", user="system:kube-controller-manager"),
        scheduler=certificates.client(ca, pki, "scheduler", user="system:kube-scheduler"),
        kubelet_client=certificates.client(
            ca, pki, "kubelet-client", user="kube-apiserver-kubelet-client", groups=["system:masters"]
        ),
        accounts=certificates.service_account_key(pki),
    )


def kubeconfig(place: Place, keys: Credentials, identity: Pair, port: int) -> Path:
    """The kubeconfig of one identity, named after its key, mode 0600."""
    name = identity.key.stem
    return certificates.kubeconfig(
        place.folder / f"{name}.kubeconfig",
        server=f"https://{reach(place.listen)}:{port}",
        ca=keys.ca.pair.certificate,
        identity=identity,
        name=f"{name}@{place.name}",
    )


def access(place: Place, keys: Credentials, port: int) -> probe.Access:
    """The administrator's way to the API server, for our own small client."""
    return probe.Access(
        f"https://{reach(place.listen)}:{port}", keys.ca.pair.certificate, keys.admin.certificate, keys.admin.key
    )


def etcd(place: Place) -> Part:
    """The store. Ports: clients, peers. Without fsync: a lost machine loses this platform anyway."""

    def launch(ports: tuple[int, ...]) -> Launch:
        client, peer = (f"http://{LOOPBACK}:{port}" for port in ports)
        command = (
            str(programs.path("etcd")),
            f"--data-dir={place.folder / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
            "--log-level=warn",
        )
        return Launch(f"{place.name}/etcd", command, place.log("etcd"))

    return Part(f"{place.name}/etcd", launch, lambda ports: Check(f"http://{LOOPBACK}:{ports[0]}/health"), ports=2)


def apiserver(place: Place, keys: Credentials, etcd_port: int) -> Part:
    """The API server; ready once `/readyz` says so."""

    def launch(ports: tuple[int, ...]) -> Launch:
        accounts = keys.accounts
        # A loopback address is no endpoint that Kubernetes accepts for its own service; nothing here uses it.
        inside = reach(place.listen).startswith("127.")
        command = (
            str(programs.path("kube-apiserver")),
            f"--etcd-servers=http://{LOOPBACK}:{etcd_port}",
            f"--bind-address={place.listen}",
            f"--advertise-address={reach(place.listen)}",
            f"--secure-port={ports[0]}",
            f"--tls-cert-file={keys.serving.certificate}",
            f"--tls-private-key-file={keys.serving.key}",
            f"--client-ca-file={keys.ca.pair.certificate}",
            f"--kubelet-client-certificate={keys.kubelet_client.certificate}",
            f"--kubelet-client-key={keys.kubelet_client.key}",
            "--kubelet-preferred-address-types=InternalIP,Hostname,InternalDNS,ExternalDNS,ExternalIP",
            f"--service-account-key-file={accounts.certificate}",
            f"--service-account-signing-key-file={accounts.key}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-cluster-ip-range={SERVICE_NETWORK}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--enable-bootstrap-token-auth",
            "--allow-privileged=true",
            # A loaded test machine must be slow, not answer 429.
            "--enable-priority-and-fairness=false",
            "--max-requests-inflight=0",
            "--max-mutating-requests-inflight=0",
            "--event-ttl=10m",
            "--profiling=false",
            f"--endpoint-reconciler-type={'none' if inside else 'lease'}",
        )
        return Launch(f"{place.name}/kube-apiserver", command, place.log("kube-apiserver"))

    def check(ports: tuple[int, ...]) -> Check:
        return Check(f"https://{reach(place.listen)}:{ports[0]}/readyz", str(keys.ca.pair.certificate))

    return Part(f"{place.name}/kube-apiserver", launch, check, deadline_s=180, listen=place.listen)


def controller_manager(place: Place, keys: Credentials, server_port: int) -> Part:
    """The controllers, generous towards the API server (default: 20 requests a second) and towards late nodes."""
    config = kubeconfig(place, keys, keys.controllers, server_port)

    def launch(ports: tuple[int, ...]) -> Launch:
        command = (
            str(programs.path("kube-controller-manager")),
            *_as(config, keys),
            f"--bind-address={LOOPBACK}",
            f"--secure-port={ports[0]}",
            f"--root-ca-file={keys.ca.pair.certificate}",
            f"--service-account-private-key-file={keys.accounts.key}",
            f"--cluster-signing-cert-file={keys.ca.pair.certificate}",
            f"--cluster-signing-key-file={keys.ca.pair.key}",
            "--use-service-account-credentials",
            "--controllers=*,bootstrap-signer-controller,token-cleaner-controller,"
            + ",".join(f"-{name}" for name in UNUSED_CONTROLLERS),
            "--leader-elect=false",
            "--kube-api-qps=500",
            "--kube-api-burst=1000",
            "--concurrent-daemonset-syncs=4",
            f"--node-monitor-grace-period={NODE_GRACE}",
            f"--node-startup-grace-period={NODE_GRACE}",
            "--profiling=false",
        )
        return Launch(f"{place.name}/kube-controller-manager", command, place.log("kube-controller-manager"))

    return Part(f"{place.name}/kube-controller-manager", launch, lambda ports: _healthz(keys, ports[0]))


def scheduler(place: Place, keys: Credentials, server_port: int) -> Part:
    """The scheduler; its client limits can be raised in a configuration file only."""
    config = kubeconfig(place, keys, keys.scheduler, server_port)
    settings = place.folder / "scheduler.yaml"
    document = {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "clientConnection": {"kubeconfig": str(config), "qps": 500, "burst": 1000},
        "leaderElection": {"leaderElect": False},
        "enableProfiling": False,
    }
    settings.write_text(yaml.safe_dump(document, sort_keys=False))

    def launch(ports: tuple[int, ...]) -> Launch:
        command = (
            str(programs.path("kube-scheduler")),
            f"--config={settings}",
            *_as(config, keys)[1:],
            f"--bind-address={LOOPBACK}",
            f"--secure-port={ports[0]}",
        )
        return Launch(f"{place.name}/kube-scheduler", command, place.log("kube-scheduler"))

    return Part(f"{place.name}/kube-scheduler", launch, lambda ports: _healthz(keys, ports[0]))


def _as(config: Path, keys: Credentials) -> tuple[str, ...]:
    return (
        f"--kubeconfig={config}",
        f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
        f"--tls-cert-file={keys.local.certificate}",
        f"--tls-private-key-file={keys.local.key}",
    )


def _healthz(keys: Credentials, port: int) -> Check:
    return Check(f"https://{LOOPBACK}:{port}/healthz", str(keys.ca.pair.certificate))
