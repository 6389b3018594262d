"""The storage proxy, boot media and signed manifests: from a folder, and from a bucket over HTTP."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from tests import epoxy_service
from tests.epoxy import machine
from tests.epoxy_service import Service
from tests.serving import served

FOLDER = "v1/stage3_ubuntu"
FILES = {"stage1_kernel.vmlinuz": b"kernel" * 100_000, "stage2to3.json": b'{"v1": {}}', "empty": b""}
SIGNER = ed25519.Ed25519PrivateKey.generate()


class _Bucket(http.server.SimpleHTTPRequestHandler):
    token = ""
    """What it asks for; empty: it is public."""

    def do_GET(self) -> None:
        if self.token and self.headers["Authorization"] != f"Bearer {self.token}":
            self.send_error(403)
            return
        if self.path.endswith("/moved"):
            self.send_response(302)
            self.send_header("Location", "https://elsewhere.test/")
            self.end_headers()
            return
        super().do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bucket's folder: one signed release, one whose file was changed, one whose manifest was."""
    root = tmp_path_factory.mktemp("bucket")
    for version in ("v1", "tampered", "forged", "unsigned"):
        folder = root / version / "stage3_ubuntu"
        folder.mkdir(parents=True)
        for name, content in FILES.items():
            (folder / name).write_bytes(content)
        _sign(folder)
    kernel = root / "tampered/stage3_ubuntu/stage1_kernel.vmlinuz"
    kernel.write_bytes(b"Kernel" + kernel.read_bytes()[6:])
    listed = root / "forged/stage3_ubuntu/manifest.json"
    listed.write_bytes(listed.read_bytes().replace(b'"size_bytes": 0', b'"size_bytes": 1'))
    (root / "unsigned/stage3_ubuntu/manifest.json.sig").unlink()
    (root / "latest.txt").write_text("v1\n")
    (root.parent / "outside").write_text("outside")
    return root


def _sign(folder: Path) -> None:
    files = [
        {"name": name, "size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in FILES.items()
    ]
    manifest = json.dumps({"v": 1, "files": files}).encode()
    (folder / "manifest.json").write_bytes(manifest)
    (folder / "manifest.json.sig").write_bytes(base64.b64encode(SIGNER.sign(manifest)))


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "keys.pem"
    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    others = (ed25519.Ed25519PrivateKey.generate(), SIGNER)
    path.write_bytes(b"".join(key.public_key().public_bytes(*form) for key in others))
    return path


@pytest.fixture(scope="module", params=["file", "http"])
def stores(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, bucket: Path, keys: Path
) -> Iterator[tuple[Service, Service]]:
    """A service over the bucket without keys, and one with keys."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Bucket, directory=str(bucket)))
    url = f"file://{bucket}" if request.param == "file" else f"http://127.0.0.1:{server.server_port}"
    made = []
    with served(server):
        for more in ((), ("--manifest-keys", str(keys))):
            folder = tmp_path_factory.mktemp("storage")
            made.append(Service(folder, *machine.PROXY, "--storage-prefix-url", url, *more).start())
        yield made[0], made[1]
        for service in made:
            service.kill()


def get(service: Service, path: str, **more: Any) -> requests.Response:
    return service.call(more.pop("method", "GET"), f"/v1/storage/{path}", token=None, allow_redirects=False, **more)


def test_an_object_comes_as_it_is_and_head_says_its_length(stores: tuple[Service, Service]) -> None:
    for service in stores:
        for name, content in FILES.items():
            answer = get(service, f"{FOLDER}/{name}")
            assert (answer.status_code, answer.content) == (200, content)
            head = get(service, f"{FOLDER}/{name}", method="HEAD")
            assert (head.status_code, head.content) == (200, b"")
            assert int(head.headers["Content-Length"]) == len(content)


def test_a_part_can_be_asked_for_from_a_folder(stores: tuple[Service, Service]) -> None:
    answer = get(stores[1], f"{FOLDER}/stage1_kernel.vmlinuz", headers={"Range": "bytes=1-3"})
    assert answer.content in (b"ern", FILES["stage1_kernel.vmlinuz"]), "the test's bucket over HTTP knows no parts"


@pytest.mark.parametrize(
    "path",
    [
        "nothing",
        "",
        "v1",
        "../outside",
        "..%2Foutside",
        "%2e%2e/outside",
        "v1/..%5c..%5coutside",
        "v1//stage3_ubuntu/empty",
        "v1%2Fstage3_ubuntu%2Fempty",
        "/etc/passwd",
        "v1/./stage3_ubuntu/empty",
        "v1/stage3_ubuntu/empty%00.json",
        "v1/stage3_ubuntu/empty?x=%0d%0aSet-Cookie:a",
        "a" * 1025,
        "%C3%BC",
    ],
)
def test_a_path_that_is_none_opens_nothing(stores: tuple[Service, Service], path: str) -> None:
    for service in stores:
        connection = requests.Request("GET", service.url).prepare()
        connection.url = f"{service.url}/v1/storage/{path}"  # as it is: no client may clean it first
        with requests.Session() as session:
            session.trust_env = False
            answer = session.send(connection, timeout=30, allow_redirects=False)
        harmless = path.startswith("v1/stage3_ubuntu/empty?")
        assert answer.status_code in ((200,) if harmless else (404, 502)), path
        assert b"outside" not in answer.content and "Set-Cookie" not in answer.headers


def test_a_redirect_of_the_bucket_is_not_handed_on(stores: tuple[Service, Service]) -> None:
    answer = get(stores[0], "moved")
    assert answer.status_code in (404, 502) and "Location" not in answer.headers


def test_what_is_not_as_it_was_signed_never_arrives(stores: tuple[Service, Service]) -> None:
    service = stores[1]
    try:
        answer = get(service, "tampered/stage3_ubuntu/stage1_kernel.vmlinuz")
        assert answer.status_code == 404
    except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError):
        pass  # broken off before its end
    for path in ("forged/stage3_ubuntu/empty", "unsigned/stage3_ubuntu/empty", "latest.txt", f"{FOLDER}/unlisted"):
        assert get(service, path).status_code == 404, path
    text = service.call("GET", "/metrics", token=None).text
    assert 'epoxy_refused_total{reason="image-tampered",route="storage"} 1.0' in text


def sequence(version: str) -> dict[str, str]:
    keys = {"stage1.ipxe": "empty", "stage1.json": "empty", "stage2": "stage2to3.json", "stage3": "empty"}
    return {key: f"https://boot.test/v1/storage/{{{{VERSION}}}}/stage3_ubuntu/{name}" for key, name in keys.items()}


@pytest.mark.parametrize(("version", "status"), [("v1", 200), ("latest", 200), ("forged", 500), ("unsigned", 500)])
def test_a_boot_begins_only_at_a_release_that_is_signed_and_pins_its_documents(
    stores: tuple[Service, Service], version: str, status: int
) -> None:
    host = machine.made(stores[1], Boot=sequence(version), ImagesVersion=version)
    answer = host.stage1()
    assert answer.status_code == status, answer.text
    if status == 200:
        assert "set images_version v1\n" in answer.text
        pinned = hashlib.sha256(FILES["stage2to3.json"]).hexdigest()
        chain = "https://boot.test/v1/storage/v1/stage3_ubuntu/stage2to3.json"
        assert host.ask("stage2").json() == {"v1": {"chain": chain, "chain_sha256": pinned}}


def test_latest_is_looked_up_at_stage1_and_kept_for_the_boot(stores: tuple[Service, Service], bucket: Path) -> None:
    host = machine.made(stores[0], Boot=sequence("latest"), ImagesVersion="latest")
    assert "set images_version v1\n" in host.stage1().text
    (bucket / "latest.txt").write_text("v2\n")
    try:
        assert "/v1/stage3_ubuntu/" in host.ask("stage2").text
        assert "set images_version v2\n" in host.stage1().text
    finally:
        (bucket / "latest.txt").write_text("v1\n")


def test_documents_outside_the_bucket_are_not_trusted(stores: tuple[Service, Service]) -> None:
    urls = {**sequence("v1"), "stage2": "https://elsewhere.test/stage2to3.json"}
    assert machine.made(stores[1], Boot=urls, ImagesVersion="v1").stage1().status_code == 500


def test_media_are_given_to_anybody_by_host(tmp_path: Path) -> None:
    media = tmp_path / "media"
    service = epoxy_service.Service(tmp_path, *machine.PROXY, "--media", str(media)).start()
    try:
        host = machine.made(service)
        (media / host.name).mkdir(parents=True)
        (media / "snponly.efi").write_bytes(b"MZ")
        (media / host.name / "autoexec.ipxe").write_text("#!ipxe\n")
        expected = {"snponly.efi": b"MZ", "autoexec.ipxe": b"#!ipxe\n"}
        for name, content in expected.items():
            path = f"/v1/media/{host.name}/{name}"
            answer = host.call(path, method="GET", address="203.0.113.9")
            assert (answer.status_code, answer.content) == (200, content)
            head = host.call(path, method="HEAD")
            assert (head.content, head.headers["Content-Length"]) == (b"", str(len(content)))
        for path in ("nobody.test/snponly.efi", f"{host.name}/other", f"{host.name}/.."):
            assert host.call(f"/v1/media/{path}", method="GET").status_code == 404, path
    finally:
        service.kill()


class _Private(_Bucket):
    token = "the-bucket-of-this-test"


def test_a_private_bucket_is_opened_with_a_token_that_is_read_each_time(
    bucket: Path, keys: Path, tmp_path: Path
) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Private, directory=str(bucket)))
    token = tmp_path / "token"
    token.write_text("an old one\n")
    url = f"http://127.0.0.1:{server.server_port}"
    more = ("--storage-prefix-url", url, "--manifest-keys", str(keys), "--storage-token-file", str(token))
    with served(server):
        service = Service(tmp_path, *machine.PROXY, *more).start()
        try:
            assert get(service, f"{FOLDER}/empty").status_code == 502
            token.write_text(f"{_Private.token}\n")
            answer = get(service, f"{FOLDER}/stage1_kernel.vmlinuz")
            assert (answer.status_code, answer.content) == (200, FILES["stage1_kernel.vmlinuz"])
            token.unlink()
            assert get(service, f"{FOLDER}/stage1_kernel.vmlinuz").status_code == 502
        finally:
            service.kill()
    assert _Private.token not in service.log.read_text()


def test_a_host_without_a_script_of_its_own_gets_one_that_asks_this_server(tmp_path: Path) -> None:
    service = epoxy_service.Service(tmp_path, *machine.PROXY).start()
    try:
        host = machine.made(service)
        answer = host.call(f"/v1/media/{host.name}/autoexec.ipxe", method="GET")
        assert answer.status_code == 200 and answer.text.startswith("#!ipxe\n")
        assert "https://boot.test:4430/v1/boot/${hostname}/stage1.ipxe##params" in answer.text
        lines = answer.text.splitlines()
        assert {f"set hostname {host.name}", "set project mlab-sandbox", "set ipv4_address ${net0/ip}"} <= set(lines)
        assert host.call(f"/v1/media/{host.name}/autoexec.ipxe", method="HEAD").status_code == 200
        for path in (f"{host.name}/snponly.efi", "unknown.measurement-lab.test/autoexec.ipxe"):
            assert host.call(f"/v1/media/{path}", method="GET").status_code == 404, path
    finally:
        service.kill()
