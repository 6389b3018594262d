"""What must stay secret is in its own file, which only its owner reads, and nowhere else that anybody could look."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.platform import machine, running

pytestmark = pytest.mark.xdist_group("platform")


def secrets(platform: running.Platform) -> Iterator[tuple[str, bytes]]:
    """Every secret of a platform, as somebody would find it: the token, and keys plain and as a kubeconfig has them."""
    folder = platform.folder / running.ENV
    yield "admin token", (folder / "epoxy" / "admin-token").read_bytes().strip()
    yield "extension token", (folder / "epoxy" / "extension-token").read_bytes().strip()
    for account in sorted((folder / "epoxy").glob("*-account")):
        # What comes before its signature is an account's description.
        yield account.name, account.read_bytes().strip().rpartition(b".")[2]
    for key in sorted((folder / "pki").glob("*.key")):
        # Any line of it will do: a part of a key is as bad as the whole.
        yield f"{key.name}", key.read_bytes().splitlines()[1]
    yield "update key", (folder / "named" / "tsig.key").read_bytes().split(b'"')[3]
    for config in sorted(folder.glob("*.kubeconfig")):
        # What comes before is the same for all keys: the words that say that it is one.
        yield f"{config.name}", yaml.safe_load(config.read_text())["users"][0]["user"]["client-key-data"].encode()[60:]


def holders(platform: running.Platform) -> set[Path]:
    """The files that are allowed to hold a secret."""
    folder = platform.folder / running.ENV
    single = {folder / "epoxy" / "admin-token", folder / "named" / "tsig.key"}
    epoxy = {
        folder / "epoxy" / name for name in ("bucket-token", "extension-token", "tokens-account", "approver-account")
    }
    return {*single, *epoxy, *(folder / "pki").glob("*.key"), *folder.glob("*.kubeconfig")}


@pytest.fixture(scope="module")
def hidden(shared: running.Platform) -> dict[str, bytes]:
    found = dict(secrets(shared))
    assert {
        "admin token",
        "update key",
        "extension token",
        "tokens-account",
        "approver-account",
        "ca.key",
        "admin.key",
        "service-account.key",
        "admin.kubeconfig",
    } <= found.keys()
    assert all(len(secret) > 20 for secret in found.values())
    return found


def leaked(hidden: dict[str, bytes], text: bytes) -> list[str]:
    """Which secrets a text holds, as they are or as a part of something in base64, whatever stands before them."""
    return [name for name, secret in hidden.items() if any(form in text for form in forms(secret))]


def forms(secret: bytes) -> Iterator[bytes]:
    yield secret
    for skipped in range(3):
        whole = secret[skipped : len(secret) - (len(secret) - skipped) % 3]
        yield base64.b64encode(whole)


def test_only_their_owner_reads_the_files_that_hold_them(shared: running.Platform) -> None:
    assert holders(shared)
    assert {path.stat().st_mode & 0o777 for path in holders(shared)} == {0o600}
    assert (shared.folder / running.ENV / "pki").stat().st_mode & 0o777 == 0o700
    assert shared.folder.stat().st_mode & 0o777 == 0o700


def test_no_other_file_holds_one(shared: running.Platform, hidden: dict[str, bytes]) -> None:
    """Logs, records, the state, what servers store, and the spool and audit of the applies."""
    searched = 0
    for path, content in shared.checkout.contents():
        if path not in holders(shared):
            assert leaked(hidden, content) == [], path
            searched += 1
    assert searched > 50
    logs = [path for path in (shared.folder / "logs").rglob("*.log") if path.stat().st_size]
    assert len(logs) > 3


def test_no_process_shows_one_in_its_command_line_or_environment(
    shared: running.Platform, hidden: dict[str, bytes]
) -> None:
    processes = machine.marked(shared.mark)
    assert len(processes) == len(running.FULL)
    for folder in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ") if int(folder.name) in processes else ("cmdline",):
            try:
                assert leaked(hidden, (folder / name).read_bytes()) == [], folder
            except OSError:  # it ended meanwhile
                continue


@pytest.mark.parametrize(
    "words",
    [
        ("plan", "--env", running.ENV, "-v"),
        ("plan", "--env", running.ENV, "--json"),
        ("plan", "--env", running.ENV, "--format", "markdown"),
        ("apply", "--env", running.ENV, "--yes"),
        ("drift", "--env", running.ENV),
        ("status", "--env", running.ENV, "--json"),
        ("render", "--env", running.ENV),
        ("up", "--env", running.ENV, "--json"),
    ],
    ids=" ".join,
)
def test_no_verb_prints_one(shared: running.Platform, hidden: dict[str, bytes], words: tuple[str, ...]) -> None:
    done = shared.checkout.mlab(*words)
    assert done.status == 0 and done.out, done.err
    assert leaked(hidden, (done.out + done.err).encode()) == []


def test_a_refusal_does_not_print_one(shared: running.Platform, hidden: dict[str, bytes], tmp_path: Path) -> None:
    """A token that the server does not take is the moment at which clients like to show what they sent."""
    wrong, overlay = tmp_path / "token", shared.folder / "platform.json"
    wrong.write_text("a-token-that-is-wrong\n")
    right = overlay.read_text()
    overlay.write_text(right.replace(str(shared.folder / running.ENV / "epoxy" / "admin-token"), str(wrong)))
    try:
        done = shared.checkout.mlab("plan", "--env", running.ENV, "--target", "epoxy", "-v")
    finally:
        overlay.write_text(right)
    assert done.status == 4 and "401" in done.out + done.err
    assert leaked({**hidden, "wrong token": b"a-token-that-is-wrong"}, (done.out + done.err).encode()) == []


def test_the_search_finds_what_is_there(shared: running.Platform, hidden: dict[str, bytes]) -> None:
    for name, path in (
        ("admin token", shared.folder / running.ENV / "epoxy" / "admin-token"),
        ("ca.key", shared.folder / running.ENV / "pki" / "ca.key"),
        ("admin.kubeconfig", shared.folder / running.ENV / "admin.kubeconfig"),
    ):
        assert name in leaked(hidden, path.read_bytes())
        for before in (b"", b"x", b"xx"):
            assert leaked(hidden, base64.b64encode(before + hidden[name] + b"y")) == [name]
