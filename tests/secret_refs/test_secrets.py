"""Secrets by reference: resolved late, printed never, redacted wherever they turn up."""

from __future__ import annotations

import copy
import io
import logging
import pickle
from pathlib import Path
from typing import Any

import pytest

from reconcilers.core.errors import Permanent
from reconcilers.providers import secrets

VALUE = "s3cret-value-of-this-test"


def test_a_secret_shows_its_reference_and_never_its_value(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(VALUE + "\n")
    secret = secrets.resolve({"secretRef": f"file:{file}"})
    assert secret.reveal() == VALUE
    shown = f"{secret} {secret!r} {[secret]} {secret!s}"
    assert VALUE not in shown and str(file) in shown
    assert not hasattr(secret, "__dict__")
    for serialise in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            serialise(secret)


def test_secrets_are_equal_by_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLAB_TEST_ONE", VALUE)
    monkeypatch.setenv("MLAB_TEST_TWO", VALUE + "2")
    one, two = secrets.resolve("env:MLAB_TEST_ONE"), secrets.resolve("env:MLAB_TEST_TWO")
    assert one == secrets.resolve("env:MLAB_TEST_ONE") and one != two and one != VALUE
    assert hash(one) != hash(two)


@pytest.mark.parametrize(
    ("ref", "said"),
    [
        ("file:/no/such/secret", "/no/such/secret"),
        ("file:/", "directory"),
        ("env:MLAB_TEST_NOT_SET", "MLAB_TEST_NOT_SET"),
        ("file:", "neither"),
        ("env:", "neither"),
        (VALUE, "neither"),
        (f"plain:{VALUE}", "neither"),
        ({"secretRef": None}, "neither"),
        ({"other": VALUE}, "neither"),
        ({}, "neither"),
    ],
)
def test_a_reference_that_leads_nowhere_is_one_line_without_any_value(ref: Any, said: str) -> None:
    with pytest.raises(Permanent) as caught:
        secrets.resolve(ref)
    assert said.lower() in str(caught.value).lower()
    assert VALUE not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe\x00"])
def test_a_file_without_text_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "secret").write_bytes(content)
    with pytest.raises(Permanent):
        secrets.resolve(f"file:{tmp_path / 'secret'}")


def test_what_was_resolved_is_redacted_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLAB_TEST_SHORT", "redacted-part")
    monkeypatch.setenv("MLAB_TEST_LONG", "redacted-part-and-more")
    secrets.resolve("env:MLAB_TEST_SHORT")
    secrets.resolve("env:MLAB_TEST_LONG")
    text = secrets.redact("server said: redacted-part-and-more, then redacted-part.")
    assert text == "server said: (redacted), then (redacted)."
    assert secrets.redact("nothing to hide") == "nothing to hide"


def test_of_a_long_file_each_key_is_redacted_too(tmp_path: Path) -> None:
    key = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo0NTY3ODkw"
    file = tmp_path / "kubeconfig"
    file.write_text(f"users:\n- name: admin\n  user:\n    client-key-data: {key}\n")
    secrets.resolve(f"file:{file}")
    assert secrets.redact(f"bad key {key} for admin") == "bad key (redacted) for admin"


def test_a_log_handler_redacts_message_arguments_and_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLAB_TEST_LOGGED", "logged-by-mistake")
    secret = secrets.resolve("env:MLAB_TEST_LOGGED")
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(secrets.Redactor())
    logger = logging.Logger("test")
    logger.addHandler(handler)
    logger.warning("value %s", secret.reveal())
    try:
        raise ValueError(secret.reveal())
    except ValueError:
        logger.exception("failed with %r", secret.reveal())
    assert "logged-by-mistake" not in stream.getvalue()
    assert stream.getvalue().count(secrets.MASK) == 3
    assert "ValueError" in stream.getvalue()
