"""The decision by itself: each property of a request for a certificate, one wrong at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from services.epoxy.tokens import bootstrap, judge
from services.epoxy.tokens.judge import Decision
from tests.joining import Wish

HOST = "mlab1-lga0t.mlab-sandbox.measurement-lab.test"
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
TOKEN = bootstrap.Issued("abcdef", "token-uid", "7", HOST, NOW + timedelta(minutes=5))
GROUPS = ("system:bootstrappers", bootstrap.GROUP, "system:authenticated")


def request(wish: Wish, username: str = "system:bootstrap:abcdef", groups: Sequence[str] = GROUPS) -> judge.Request:
    document = wish.document()
    document["metadata"] = {"name": "node-1", "uid": "request-uid"}
    document["spec"] |= {"username": username, "groups": list(groups)}
    return judge.request(document)


def verdict(asked: judge.Request, token: bootstrap.Issued | None = TOKEN) -> tuple[Decision, str]:
    found = judge.without_token(asked) or judge.with_token(asked, token, NOW)
    return found.decision, found.reason


def test_what_a_kubelet_sends_is_approved() -> None:
    assert verdict(request(Wish(HOST))) == (Decision.APPROVE, "Joined")
    rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    with_rsa = Wish(HOST, usages=("key encipherment", "digital signature", "client auth"), key=rsa_key)
    assert verdict(request(with_rsa)) == (Decision.APPROVE, "Joined")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"node": "mlab2-lga0t.mlab-sandbox.measurement-lab.test"}, "OtherName"),
        ({"node": HOST.upper()}, "OtherName"),
        ({"node": f"{HOST}."}, "OtherName"),
        ({"common_name": HOST}, "OtherName"),
        ({"common_name": "system:node:"}, "OtherName"),
        ({"common_name": "system:kube-controller-manager"}, "OtherName"),
        ({"organisations": ()}, "OtherName"),
        ({"organisations": ("system:masters",)}, "OtherName"),
        ({"organisations": ("system:nodes", "system:masters")}, "OtherName"),
        ({"organisations": ("system:nodes", "system:nodes")}, "OtherName"),
        ({"usages": ("client auth",)}, "Usages"),
        ({"usages": ("digital signature", "server auth")}, "Usages"),
        ({"usages": ("digital signature", "client auth", "server auth")}, "Usages"),
        ({"names": (HOST,)}, "AlternativeNames"),
        ({"spoilt": True}, "Signature"),
        ({"key": ec.generate_private_key(ec.SECP192R1())}, "WeakKey"),
        ({"key": rsa.generate_private_key(public_exponent=65537, key_size=1024)}, "WeakKey"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_one_wrong_property_is_enough_to_be_refused(changes: dict[str, Any], reason: str) -> None:
    assert verdict(request(replace(Wish(HOST), **changes))) == (Decision.DENY, reason)


@pytest.mark.parametrize("pem", [b"", b"no PEM", b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n"])
def test_what_cannot_be_read_is_refused(pem: bytes) -> None:
    assert verdict(replace(request(Wish(HOST)), pem=pem)) == (Decision.DENY, "Unreadable")


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (None, "TokenGone"),
        (replace(TOKEN, expires=NOW), "TokenExpired"),
        (replace(TOKEN, claim="another-uid", claimed_by="node-0"), "TokenUsed"),
        (replace(TOKEN, host="mlab2-lga0t.mlab-sandbox.measurement-lab.test"), "OtherName"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_token_must_be_alive_unused_and_this_host_s(token: bootstrap.Issued | None, reason: str) -> None:
    assert verdict(request(Wish(HOST)), token) == (Decision.DENY, reason)


def test_a_token_that_this_very_request_claimed_still_serves_it() -> None:
    claimed = replace(TOKEN, claim="request-uid", claimed_by="node-1")
    assert verdict(request(Wish(HOST)), claimed) == (Decision.APPROVE, "Joined")


@pytest.mark.parametrize(
    ("username", "groups", "signer"),
    [
        ("mlab-admin", ("system:masters",), judge.SIGNER),
        # A token that kubeadm or a person made, in a group of theirs.
        ("system:bootstrap:abcdef", ("system:bootstrappers", "system:bootstrappers:kubeadm:default-node-token"), None),
        # Who may set groups of his own in some other way has no such name.
        ("somebody", GROUPS, None),
        (f"system:node:{HOST}", ("system:authenticated",), None),
        ("system:node:", ("system:nodes",), None),
        ("system:bootstrap:abcdef", GROUPS, "kubernetes.io/kubelet-serving"),
        ("system:bootstrap:abcdef", GROUPS, "kubernetes.io/kube-apiserver-client"),
    ],
)
def test_what_is_not_ours_is_left_to_others(username: str, groups: Sequence[str], signer: str | None) -> None:
    wish = Wish(HOST, signer=signer or judge.SIGNER)
    assert verdict(request(wish, username, groups))[0] is Decision.LEAVE


def test_what_is_decided_is_not_decided_again() -> None:
    for condition in ("Approved", "Denied", "Failed"):
        assert verdict(replace(request(Wish(HOST)), conditions=frozenset({condition})))[0] is Decision.LEAVE


def test_a_node_may_renew_for_itself_only() -> None:
    asker: dict[str, Any] = {"username": f"system:node:{HOST}", "groups": ("system:nodes", "system:authenticated")}
    assert verdict(request(Wish(HOST), **asker)) == (Decision.APPROVE, "Renewal")
    other = Wish("mlab2-lga0t.mlab-sandbox.measurement-lab.test")
    assert verdict(request(other, **asker)) == (Decision.DENY, "OtherName")


def test_a_secret_is_a_token_of_ours_only_with_label_host_and_matching_digest() -> None:
    token = bootstrap.new()
    secret = bootstrap.manifest(token, HOST, NOW)
    secret["metadata"] |= {"uid": "u", "resourceVersion": "1"}
    assert (found := bootstrap.issued(secret)) is not None and found.host == HOST
    # Without a readable expiry it is over.
    assert found.expires < NOW
    for spoilt in (
        secret | {"type": "Opaque"},
        secret | {"metadata": secret["metadata"] | {"labels": {}}},
        secret | {"metadata": secret["metadata"] | {"annotations": {bootstrap.HOST: "another.host.test"}}},
    ):
        assert bootstrap.issued(spoilt) is None
    assert token.text not in repr(token) and token.secret not in repr(token)
