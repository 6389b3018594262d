"""The control plane is one that a real node can join: by its flags, and by what it does for a machine that tries."""

from __future__ import annotations

import base64
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import yaml
from cryptography import x509

from services.local import certificates
from tests import waiting
from tests.epoxy_service import record
from tests.joining import Api, Wish, certificate
from tests.platform import machine, running
from tests.serving import served

pytestmark = pytest.mark.xdist_group("platform")
NODE = "mlab9-tst01.mlab-sandbox.measurement-lab.test"


@pytest.fixture(scope="module")
def api(shared: running.Platform, tmp_path_factory: pytest.TempPathFactory) -> Api:
    """The API server for its administrator, by the kubeconfig that `mlab` uses."""
    config = yaml.safe_load((shared.folder / running.ENV / "admin.kubeconfig").read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    folder = tmp_path_factory.mktemp("admin")
    (folder / "ca.crt").write_bytes(base64.b64decode(cluster["certificate-authority-data"]))
    server = Api(cluster["server"], str(folder / "ca.crt"))
    pair = (base64.b64decode(user[f"client-{part}-data"]) for part in ("certificate", "key"))
    return server.as_client(folder, *pair)


@pytest.fixture(scope="module")
def token(shared: running.Platform) -> Iterator[str]:
    """A bootstrap token, as a machine that boots gets it: from the platform's ePoxy, in its third stage."""
    epoxy = shared.folder / running.ENV / "epoxy"
    base = f"http://127.0.0.1:{shared.servers[f'{running.ENV}/epoxy']['ports'][0]}"
    host = f"{base}/admin/v1/hosts/{NODE}"
    with requests.Session() as session:
        session.trust_env = False
        admin = {"Authorization": f"Bearer {(epoxy / 'admin-token').read_text().strip()}"}
        wanted = record(NODE, IPv4Addr="127.0.0.1", Extensions=["allocate_k8s_token"])
        made = session.put(host, json=wanted, headers={**admin, "If-None-Match": "*"}, timeout=30)
        assert made.status_code == 201, made.text
        script = session.post(f"{base}/v1/boot/{NODE}/stage1.ipxe", data={}, timeout=30).text
        urls = {key: base + urlsplit(url).path for key, url in re.findall(r"^set (\S+)_url (\S+)$", script, re.M)}
        assert "allocate_k8s_token" in urls, script
        stages = [session.post(urls[stage], timeout=30).status_code for stage in ("stage2", "stage3")]
        answer = session.post(urls["allocate_k8s_token"], timeout=30)
        assert (stages, answer.status_code) == ([200, 200], 200), answer.text
        yield str(answer.json()["token"])
        gone = session.delete(host, headers={**admin, "If-Match": made.headers["ETag"]}, timeout=30)
        assert gone.status_code in (200, 204), gone.text


def signed(api: Api, asking: Api, name: str) -> tuple[bytes, bytes]:
    """Ask for a node's certificate, wait until it is approved and signed; certificate and key."""
    wish = Wish(name)
    return certificate(api, wish.file(asking)), wish.private()


@pytest.fixture(scope="module")
def node(api: Api, token: str, tmp_path_factory: pytest.TempPathFactory) -> Api:
    """The API server for a machine that joined by its bootstrap token, as a kubelet does."""
    signed_certificate, key = signed(api, api.as_bearer(token), NODE)
    subject = x509.load_pem_x509_certificate(signed_certificate).subject
    assert subject.rfc4514_string() == f"CN=system:node:{NODE},O=system:nodes"
    return api.as_client(tmp_path_factory.mktemp("node"), signed_certificate, key)


def test_the_server_runs_with_what_a_joining_node_needs(shared: running.Platform) -> None:
    flags = machine.marked(shared.mark)[shared.servers[f"{running.ENV}/kube-apiserver"]["pid"]].split()
    assert "--allow-privileged=true" in flags and "--enable-bootstrap-token-auth" in flags
    assert "--enable-admission-plugins=NodeRestriction" in flags and "--authorization-mode=Node,RBAC" in flags
    (preferred,) = [flag for flag in flags if flag.startswith("--kubelet-preferred-address-types=")]
    assert preferred.partition("=")[2].split(",")[0] == "InternalIP"
    assert any(flag.startswith("--kubelet-client-certificate=") for flag in flags)


def test_a_wrong_bootstrap_token_is_nobody(api: Api, token: str) -> None:
    wrong = api.as_bearer(token[:-1] + ("1" if token.endswith("0") else "0"))
    assert wrong.call("GET", "/api/v1/nodes").status_code == 401


def test_a_joined_machine_registers_renews_and_may_not_be_another(api: Api, node: Api, tmp_path: Path) -> None:
    document = {"metadata": {"name": NODE, "labels": {"mlab/machine": "mlab9"}}}
    assert node.call("POST", "/api/v1/nodes", document).status_code == 201
    renewed = node.as_client(tmp_path, *signed(api, node, NODE))
    labels = {"metadata": {"labels": {"mlab/site": "tst01"}}}
    merge = {"Content_Type": "application/merge-patch+json"}
    assert renewed.call("PATCH", f"/api/v1/nodes/{NODE}", labels, **merge).status_code == 200
    assert api.call("POST", "/api/v1/nodes", {"metadata": {"name": "mlab8-tst01"}}).status_code == 201
    own = {"metadata": {"labels": {"node-restriction.kubernetes.io/trusted": "yes"}}}
    for path, change in ((f"/api/v1/nodes/{NODE}", own), ("/api/v1/nodes/mlab8-tst01", labels)):
        refused = renewed.call("PATCH", path, change, **merge)
        assert refused.status_code == 403, refused.text
    assert renewed.call("POST", "/api/v1/nodes", {"metadata": {"name": "mlab7-tst01"}}).status_code == 403
    for name in (NODE, "mlab8-tst01"):
        assert api.call("DELETE", f"/api/v1/nodes/{name}").ok


def test_nothing_approves_requests_for_certificates_by_itself(api: Api) -> None:
    """The approver inside Kubernetes needs a permission of the asker's; nobody has it, so that ours alone decides."""
    bindings = api.call("GET", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings").json()["items"]
    roles = {binding["roleRef"]["name"] for binding in bindings}
    assert "system:node-bootstrapper" in roles
    assert not [role for role in roles if role.startswith("system:certificates.k8s.io:certificatesigningrequests:")]


def test_privileged_containers_are_allowed(api: Api) -> None:
    container = {"name": "c", "image": "i", "securityContext": {"privileged": True}}
    pod = {"metadata": {"name": "p"}, "spec": {"automountServiceAccountToken": False, "containers": [container]}}
    answer = api.call("POST", "/api/v1/namespaces/default/pods?dryRun=All", pod)
    assert answer.status_code == 201, answer.text


@contextmanager
def kubelet(shared: running.Platform, folder: Path) -> Iterator[tuple[int, list[str]]]:
    """The serving side of a kubelet on loopback: its port, and who asked, by the certificate that it insists on."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert isinstance(self.connection, ssl.SSLSocket)
            peer = self.connection.getpeercert()
            assert peer is not None
            asked.append(dict(part[0] for part in peer["subject"])["commonName"])  # type: ignore[misc]
            body = f"log of {self.path}".encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Silent."""

    pki = shared.folder / running.ENV / "pki"
    authority = certificates.authority(folder, "a kubelet's own")
    pair = certificates.serving(authority, folder, "kubelet", ["127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    context.load_verify_locations(pki / "ca.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with served(server):
        yield server.server_port, asked


def test_logs_are_fetched_from_a_kubelet_by_its_internal_address_and_with_a_certificate(
    shared: running.Platform, api: Api, tmp_path: Path
) -> None:
    """The host name stands first and means nothing: only the internal address leads anywhere."""
    with kubelet(shared, tmp_path) as (port, asked):
        addresses = [("Hostname", "no-such-host.invalid"), ("ExternalIP", "192.0.2.1"), ("InternalIP", "127.0.0.1")]
        status = {
            "addresses": [{"type": kind, "address": address} for kind, address in addresses],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        }
        assert api.call("POST", "/api/v1/nodes", {"metadata": {"name": "real"}, "status": status}).status_code == 201
        container = {"name": "c", "image": "i"}
        spec = {"nodeName": "real", "automountServiceAccountToken": False, "containers": [container]}
        pods = "/api/v1/namespaces/default/pods"
        assert api.call("POST", pods, {"metadata": {"name": "real"}, "spec": spec}).status_code == 201
        try:
            answer = api.call("GET", f"{pods}/real/log")
            assert answer.text == "log of /containerLogs/default/real/c" and answer.status_code == 200
            assert asked == ["kube-apiserver-kubelet-client"]
        finally:
            now = {"gracePeriodSeconds": 0}
            assert api.call("DELETE", f"{pods}/real", now).ok and api.call("DELETE", "/api/v1/nodes/real").ok


def test_machines_that_are_published_are_ready_nodes_with_their_labels(shared: running.Platform, api: Api) -> None:
    def ready() -> list[dict[str, Any]]:
        nodes = api.call("GET", "/api/v1/nodes?labelSelector=type%3Dkwok").json()["items"] or []
        return [
            node
            for node in nodes
            for at in node["status"].get("conditions", ())
            if at["type"] == "Ready" and at["status"] == "True"
        ]

    (found,) = waiting.until(ready, "a node is Ready")
    labels = found["metadata"]["labels"]
    assert {key: labels[f"mlab/{key}"] for key in ("machine", "site", "metro", "project", "type")} == {
        "machine": "mlab1",
        "site": "lga1t",
        "metro": "lga",
        "project": "mlab-sandbox",
        "type": "physical",
    }


def test_the_certificate_names_what_the_server_is_reached_by(shared: running.Platform) -> None:
    certificate = x509.load_pem_x509_certificate(
        (shared.folder / running.ENV / "pki" / "kube-apiserver.crt").read_bytes()
    )
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {"localhost", "kubernetes.default.svc"} <= set(names.get_values_for_type(x509.DNSName))
    assert {"127.0.0.1", "10.96.0.1"} == {str(ip) for ip in names.get_values_for_type(x509.IPAddress)}
