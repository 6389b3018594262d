"""What makes machines into nodes on one machine: ePoxy's extension server and approver, an account each.

Their accounts and rights are those that a cluster gets from `jsonnet/kubernetes/epoxy_tokens.libsonnet`, and they prove
themselves with tokens of these accounts, so that a right that is missing there is missing here. No binding approves a
request for a certificate by itself: whoever wants to join needs a token that is bound to a host.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from pathlib import Path

import rjsonnet

from services.local import certificates, probe, servers
from services.local import state as states
from services.local.controlplane import LOOPBACK, Place, reach
from services.local.errors import PlatformError
from services.local.probe import Access, Check
from services.local.processes import Launch
from services.local.starting import Part

TOKENS, APPROVER = "epoxy-tokens", "epoxy-approver"
ACCESS = servers.SOURCE / "jsonnet" / "kubernetes" / "epoxy_access.jsonnet"
# Not the names that an environment's own manifests bear, which an apply would find and not own.
PREFIX = "local-epoxy"
NAMESPACE = "kube-system"
# Longer than any platform lives: nobody renews them here.
LIFETIME_S = 365 * 24 * 3600
_PLURALS = {
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
}


@dataclass(frozen=True, slots=True)
class Accounts:
    """Files with the tokens of the two accounts, and with the one that callers of the extension server present."""

    server: Path
    approver: Path
    callers: Path


def accounts(place: Place) -> Accounts:
    """Where the files lie."""
    folder = place.folder / "epoxy"
    return Accounts(folder / "tokens-account", folder / "approver-account", folder / "extension-token")


def prepare(place: Place, api: Access) -> Accounts:
    """Make accounts, rights and tokens. What is there already is left alone. Raises `PlatformError`."""
    made = accounts(place)
    document = json.dumps({"prefix": PREFIX})
    connection = api.connect()
    try:
        for manifest in json.loads(rjsonnet.evaluate_file(str(ACCESS), tla_codes={"document": document})):
            path = _PLURALS[manifest["kind"]].format(NAMESPACE)
            _post(connection, path, manifest, f"{manifest['kind']} {manifest['metadata']['name']}")
        for suffix, file in (("tokens", made.server), ("approver", made.approver)):
            path = f"{_PLURALS['ServiceAccount'].format(NAMESPACE)}/{PREFIX}-{suffix}/token"
            body = {"spec": {"expirationSeconds": LIFETIME_S}}
            token = json.loads(_post(connection, path, body, f"a token of {PREFIX}-{suffix}"))["status"]["token"]
            certificates.write_private(file, f"{token}\n".encode())
    finally:
        connection.close()
    certificates.write_private(made.callers, f"{secrets.token_urlsafe(32)}\n".encode())
    return made


def offer(place: Place, port: int) -> None:
    """Tell ePoxy where its operations are served; it takes a changed table up by itself."""
    url, token_file = f"http://{LOOPBACK}:{port}", str(accounts(place).callers)
    table = {
        "allocate_k8s_token": {"url": f"{url}/v2/allocate_k8s_token", "stages": ["stage3"], "token_file": token_file},
        "node_delete": {"url": f"{url}/v1/node/delete", "stages": ["stage3", "done"], "token_file": token_file},
    }
    states.replace(servers.operations_file(place), json.dumps(table, indent=1) + "\n")


def server(place: Place, api: Access) -> Part:
    """The extension server, on loopback, whatever the listen address; machines come to it through ePoxy."""
    files = accounts(place)
    # A machine reaches the API server by a name in its certificate, where one was asked for.
    host = place.extra_names[0] if place.extra_names else reach(place.listen)
    port = api.url.rpartition(":")[2]

    def launch(ports: tuple[int, ...]) -> Launch:
        return _program(
            place,
            api,
            TOKENS,
            "serve",
            f"--listen={LOOPBACK}:{ports[0]}",
            f"--token-file={files.server}",
            f"--api-address={host}:{port}",
            f"--caller-token-file={files.callers}",
        )

    return Part(f"{place.name}/{TOKENS}", launch, lambda ports: Check(f"http://{LOOPBACK}:{ports[0]}/"))


def approver(place: Place, api: Access) -> Part:
    """The approver; its port is that of its metrics."""
    files = accounts(place)

    def launch(ports: tuple[int, ...]) -> Launch:
        listen = f"--listen={LOOPBACK}:{ports[0]}"
        return _program(place, api, APPROVER, "approve", listen, f"--token-file={files.approver}")

    return Part(f"{place.name}/{APPROVER}", launch, lambda ports: Check(f"http://{LOOPBACK}:{ports[0]}/metrics"))


def _program(place: Place, api: Access, name: str, program: str, *arguments: str) -> Launch:
    words = (program, f"--server={api.url}", f"--ca={api.ca}", *arguments)
    return servers.module(place, name, "services.epoxy.tokens", *words)


def _post(connection: probe.Connection, path: str, document: object, what: str) -> bytes:
    answer = connection.request("POST", path, document)
    if answer.status not in (201, 409):
        said = json.loads(answer.body).get("message", "")
        raise PlatformError(f"{what}: the API server answers {answer.status}: {said}")
    return answer.body
