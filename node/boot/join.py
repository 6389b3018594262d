"""Makes the machine a node of its cluster, without kubeadm. The document `stage3post.json` runs it.

    python3 -I -S -m node.boot.join --ca=FILE --kubelet=FILE [--donated="abc01 def02"]

1. Start the units that the kubelet needs: what is wrong with this machine shows before a token is made for it.
2. Ask ePoxy's extension (`epoxy.allocate_k8s_token`) for a token for this host alone, good for minutes.
3. Check the document's CA against the hash that came with the token; write configuration and bootstrap kubeconfig.
4. Start the kubelet, and wait for its certificate: the only proof of joining.
5. Remove the bootstrap kubeconfig, which holds the token.

The image's `kubelet.service` reads `/run/mlab/kubelet.env`: `EnvironmentFile=/run/mlab/kubelet.env`,
`ExecStart=/usr/bin/kubelet $KUBELET_ARGS`, `Restart=always`. `--before` names the units that are started first,
`containerd.service mlab-images.service` by default. Status 3: the server takes this boot no more.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from node.boot import backoff, client, cmdline, der, journal, labels, network, redact, times, transfer
from node.boot.errors import BadDocument, BootError, Refused, Temporary, Usage

TOKEN_KEY = "epoxy.allocate_k8s_token"
TOKEN_TRIES = 5
_SYSTEMCTL_S = 300.0
_TOKEN = re.compile(r"[a-z0-9]{6}\.[a-z0-9]{16}")
_ADDRESS = re.compile(r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9a-fA-F:.]+\]):[0-9]{1,5}")
_FLAGS = ("ca", "kubelet", "donated", "before", "cmdline", "root", "ca-file", "wait")


class Options(NamedTuple):
    """What the flags say. `root` is where files are written below, for tests."""

    ca: Path
    kubelet: Path
    donated: tuple[str, ...] = ()
    before: tuple[str, ...] = ("containerd.service", "mlab-images.service")
    cmdline: Path = Path("/proc/cmdline")
    root: Path = Path("/")
    ca_file: Path | None = None
    wait_s: float = 180.0


class Credentials(NamedTuple):
    """What the extension gives: where the API server is, a token, and the hash of its authority."""

    api_address: str
    token: str
    ca_hash: str


class Places(NamedTuple):
    """The kubelet's files, as it sees them."""

    config: str = "/etc/kubernetes/kubelet.json"
    ca: str = "/etc/kubernetes/pki/ca.crt"
    bootstrap: str = "/run/mlab/bootstrap.kubeconfig"
    kubeconfig: str = "/etc/kubernetes/kubelet.conf"
    certificates: str = "/var/lib/kubelet/pki"
    environment: str = "/run/mlab/kubelet.env"


PLACES = Places()


def credentials(body: bytes) -> Credentials:
    """The extension's answer. Raises `BadDocument`, which quotes nothing of it."""
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if isinstance(found, dict):
        made = Credentials(*(str(found.get(key, "")) for key in ("api_address", "token", "ca_hash")))
        if _TOKEN.fullmatch(made.token) and _ADDRESS.fullmatch(made.api_address):
            return made
    raise BadDocument(f"{TOKEN_KEY}: the answer is not an object with api_address, token and ca_hash")


def check_authority(pem: bytes, expected: str) -> None:
    """That the document's CA is the one that the token is for. Raises `BadDocument`."""
    try:
        found = der.key_hashes(pem)
    except ValueError as error:
        raise BadDocument(f"--ca: {error}") from None
    if expected.lower() not in found:
        raise BadDocument(f"--ca: its key has the hash {found[0]}, the cluster's is {expected[:80]}; not joining")


def bootstrap_kubeconfig(given: Credentials) -> dict[str, Any]:
    """With what the kubelet asks for its certificate; JSON is YAML."""
    cluster = {"server": f"https://{given.api_address}", "certificate-authority": PLACES.ca}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "platform", "cluster": cluster}],
        "users": [{"name": "bootstrap", "user": {"token": given.token}}],
        "contexts": [{"name": "bootstrap", "context": {"cluster": "platform", "user": "bootstrap"}}],
        "current-context": "bootstrap",
    }


def configuration(body: bytes) -> dict[str, Any]:
    """The document's kubelet configuration with the CA of its clients in place. Raises `BadDocument`."""
    try:
        found = json.loads(body)
    except ValueError as error:
        raise BadDocument(f"--kubelet: not JSON: {error}") from None
    if not isinstance(found, dict) or found.get("kind") != "KubeletConfiguration":
        raise BadDocument("--kubelet: not a KubeletConfiguration")
    authentication = found.get("authentication") or {}
    x509 = {"x509": {"clientCAFile": PLACES.ca}}
    return {**found, "authentication": {**authentication, **x509}, "rotateCertificates": True}


def arguments(kargs: Mapping[str, str], donated: Sequence[str]) -> list[str]:
    """The kubelet's flags. Raises `Usage`."""
    found = labels.of(kargs, donated)
    address = network.family(kargs, "epoxy.ipv4")
    if address is None:
        raise Usage("epoxy.ipv4 is not on the command line; it is the node's address")
    return [
        f"--config={PLACES.config}",
        f"--bootstrap-kubeconfig={PLACES.bootstrap}",
        f"--kubeconfig={PLACES.kubeconfig}",
        f"--cert-dir={PLACES.certificates}",
        f"--hostname-override={kargs['epoxy.hostname']}",
        f"--node-ip={address.address.ip}",
        "--node-labels=" + ",".join(f"{key}={value}" for key, value in found.items()),
    ]


class _Join:
    """One join: its options, command line, and where it says what it does."""

    def __init__(self, options: Options, kargs: Mapping[str, str], log: journal.Journal) -> None:
        self.options = options
        self.kargs = kargs
        self.say = log.line
        self._notes = os.environ.get(times.VARIABLE)
        self._began = time.monotonic()

    def lap(self, name: str) -> None:
        """The seconds since the last one, for the log and the report."""
        now = time.monotonic()
        self.say(f"{name}: {now - self._began:.1f} s")
        times.note(self._notes, f"join.{name}", now - self._began)
        self._began = now

    def place(self, path: str) -> Path:
        return self.options.root / path.lstrip("/")

    def write(self, path: str, content: bytes | str, mode: int = 0o644) -> None:
        """A whole file or none, never readable by others for a moment if it must not be."""
        file = self.place(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_name(f".{file.name}.new")
        unfinished.unlink(missing_ok=True)
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
        unfinished.replace(file)

    def systemctl(self, *words: str) -> None:
        """One call; what the units say of a failure goes to the log, and with it into the report."""
        done = _run("systemctl", *words)
        if done.returncode:
            status = _run("systemctl", "status", "--no-pager", "--full", "--lines=10", *words[1:])
            for line in status.stdout.splitlines():
                if line.strip():
                    self.say(f"  {line}")
            raise BootError(f"systemctl {' '.join(words)}: status {done.returncode}: {done.stderr.strip()[:200]}")

    def token(self) -> Credentials:
        url = self.kargs.get(TOKEN_KEY)
        if not url:
            raise Usage(f"{TOKEN_KEY} is not on the command line: this host is not allowed to join")
        net = transfer.network(self.options.ca_file)
        for failures in range(1, TOKEN_TRIES + 1):
            try:
                answer = transfer.post(url, b"{}", net, content_type="application/json", limit=64 * 1024)
                return credentials(answer.body)
            except Temporary as error:
                if failures == TOKEN_TRIES:
                    raise
                wait = backoff.wait_s(backoff.BETWEEN_REQUESTS, failures, error.retry_after_s)
                self.say(f"token: {error}; again in {wait:.1f} s")
                time.sleep(wait)
        raise AssertionError("unreachable")

    def run(self) -> None:
        """All steps. Raises `BootError`."""
        flags = arguments(self.kargs, self.options.donated)
        authority = _read(self.options.ca, "--ca")
        config = configuration(_read(self.options.kubelet, "--kubelet"))
        certificate = self.place(PLACES.certificates) / "kubelet-client-current.pem"
        if certificate.exists():
            self.say("this boot has its certificate already")
            self.systemctl("start", "kubelet.service")
            return
        self.systemctl("start", *self.options.before)
        self.lap("runtime")
        given = self.token()
        check_authority(authority, given.ca_hash)
        self.lap("token")
        self.write(PLACES.ca, authority)
        self.write(PLACES.config, json.dumps(config, indent=4))
        self.write(PLACES.environment, "KUBELET_ARGS=" + " ".join(flags) + "\n")
        # A kubelet with a kubeconfig of an earlier try would use that instead of the new token.
        self.place(PLACES.kubeconfig).unlink(missing_ok=True)
        self.write(PLACES.bootstrap, json.dumps(bootstrap_kubeconfig(given)), 0o600)
        self.systemctl("restart", "kubelet.service")
        self.lap("kubelet")
        self.say(f"waiting for the certificate of {self.kargs['epoxy.hostname']} from {given.api_address}")
        self._wait(certificate)
        self.place(PLACES.bootstrap).unlink(missing_ok=True)
        self.lap("certificate")
        self.say("joined: the certificate is here")

    def _wait(self, certificate: Path) -> None:
        end = time.monotonic() + self.options.wait_s
        while not certificate.exists():
            if time.monotonic() > end:
                raise BootError(
                    f"no certificate after {self.options.wait_s:g} s: was the request approved? see the API server's "
                    "certificatesigningrequests, and journalctl -u kubelet here"
                )
            time.sleep(0.1)


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_SYSTEMCTL_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BootError(f"{' '.join(command)}: {error}") from None


def _read(path: Path, flag: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Usage(f"{flag} {path}: {error.strerror}") from None


def options(words: Sequence[str]) -> Options:
    """From flags of the form `--name=value`. Raises `Usage`."""
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or not equals or name not in _FLAGS:
            raise Usage(f"{word!r} is not a flag; known are --{'=, --'.join(_FLAGS)}=")
        found[name] = value
    for name in ("ca", "kubelet"):
        if not found.get(name):
            raise Usage(f"--{name}=FILE is missing")
    made = Options(Path(found["ca"]), Path(found["kubelet"]), tuple(found.get("donated", "").split()))
    wait = found.get("wait", "180")
    if not (wait.isascii() and wait.isdigit() and len(wait) < 6):
        raise Usage(f"--wait={wait}: must be a whole number of seconds")
    return made._replace(
        before=tuple(found.get("before", " ".join(made.before)).split()),
        cmdline=Path(found.get("cmdline", str(made.cmdline))),
        root=Path(found.get("root", str(made.root))),
        ca_file=Path(found["ca-file"]) if "ca-file" in found else None,
        wait_s=float(wait),
    )


def main(words: Sequence[str]) -> int:
    log = journal.Journal(redact.redactor(()), sys.stdout)
    try:
        chosen = options(words)
        kargs = cmdline.parse(_read(chosen.cmdline, "--cmdline").decode("utf-8", "replace"))
        log.clean = redact.redactor(redact.secrets(kargs))
        _Join(chosen, kargs, log).run()
    except Usage as error:
        log.line(f"error: {error}")
        return client.USAGE
    except Refused as error:
        log.line(f"error: {error}")
        return client.OVER
    except (BootError, OSError) as error:
        log.line(f"error: {error}")
        return client.FAILED
    return client.DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
