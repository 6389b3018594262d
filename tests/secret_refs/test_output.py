"""A server that quotes the credential it was sent: nothing that `mlab` prints or keeps carries it."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from reconcilers.cli import bugs, logs, output
from reconcilers.providers import secrets
from reconcilers.report.audit import Audit
from tests import faultproxy, fleets
from tests.e2e.checkout import Checkout, repository

CANARY = "canary-token-of-this-test-only"
ENVIRONMENT = "config/environments/sandbox.yaml"


@pytest.fixture
def quoting(tmp_path: Path) -> Iterator[Checkout]:
    """A small fleet whose cluster answers 403 to everything, with the bearer token in its message."""
    root = fleets.write_fleet(tmp_path / "fleet")
    with faultproxy.FaultProxy(f"http://127.0.0.1:{faultproxy.closed_port()}") as proxy:
        body = json.dumps({"kind": "Status", "message": f"User with {CANARY} may not"}).encode()
        proxy.fault = faultproxy.status(403, body=body)
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": proxy.url}}],
            "users": [{"name": "u", "user": {"token": CANARY}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        }
        path = tmp_path / "kubeconfig"
        path.write_text(yaml.safe_dump(config))
        fleets.edit(root, ENVIRONMENT, "/run/secrets/kubeconfig", str(path))
        repository(root)
        yield Checkout(root, tmp_path / "state")
        assert proxy.seen


@pytest.mark.parametrize("words", [("plan",), ("plan", "--json"), ("plan", "-v"), ("apply", "--yes")])
def test_a_token_that_a_server_quotes_is_not_shown(quoting: Checkout, tmp_path: Path, words: tuple[str, ...]) -> None:
    kept = ("--out", str(tmp_path / "plan.json")) if words[0] == "plan" else ()
    done = quoting.mlab(*words, "--env", "sandbox", "--target", "kubernetes", "--timeout", "5", *kept)
    assert secrets.MASK in done.out and "403" in done.out, done.out + done.err
    assert done.status == 4 and CANARY not in done.out + done.err
    files = [path for path in [tmp_path / "plan.json", *quoting.state.rglob("*")] if path.is_file()]
    assert not [path for path in files if CANARY in path.read_text()]


def test_a_librarys_warning_is_one_line_without_the_secret(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    secrets.register(CANARY)
    logs.log_to_stderr()
    logs.log_to_stderr()
    try:
        raise ValueError(CANARY)
    except ValueError:
        logging.getLogger("library").warning("retrying with\n%s", CANARY, exc_info=True)
    assert capsys.readouterr().err == f"mlab: library: retrying with {secrets.MASK}\n"


def test_what_is_printed_audited_or_traced_is_masked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    odd = 'a "quoted" secret'
    for value in (CANARY, odd):
        secrets.register(value)
    monkeypatch.setattr(sys, "stdout", output.Redacted(sys.stdout))
    print("seen", CANARY, json.dumps(odd))
    audit = Audit(tmp_path / "audit.jsonl", {"run": "r"})
    audit([{"error": f"refused {CANARY}", "other": odd}])
    audit.close()
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    found = bugs.Bugs(["plan"])
    found(ValueError(CANARY))
    monkeypatch.setattr(sys, "stderr", output.Redacted(sys.stderr))
    assert found.told() == 1
    said = capsys.readouterr()
    written = "".join(path.read_text() for path in tmp_path.iterdir() if path.is_file())
    for text in (said.out, said.err, written):
        assert secrets.MASK in text and CANARY not in text and "quoted" not in text
