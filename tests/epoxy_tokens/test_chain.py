"""The whole chain with real programs: a machine boots through ePoxy, gets its token, and is signed for; once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import epoxy_service
from tests.epoxy import machine
from tests.epoxy_tokens.lab import Lab, running, server_arguments
from tests.joining import REQUESTS, Wish, certificate, decision

pytestmark = pytest.mark.xdist_group("epoxy-tokens")


@pytest.fixture
def service(cell: Lab, tmp_path: Path) -> Iterator[epoxy_service.Service]:
    """ePoxy, its extension server and the approver."""
    with running(cell, "serve", *server_arguments(cell)) as extensions, running(cell, "approve"):
        proof = {"token_file": str(cell.accounts.callers)}
        table = {
            "allocate_k8s_token": {"url": f"http://{extensions.address}/v2/allocate_k8s_token", **proof},
            "node_delete": {
                "url": f"http://{extensions.address}/v1/node/delete",
                "stages": ["stage3", "done"],
                **proof,
            },
        }
        (tmp_path / "operations.json").write_text(json.dumps(table))
        words = (*machine.PROXY, "--operations", str(tmp_path / "operations.json"))
        made = epoxy_service.Service(tmp_path, *words).start()
        yield made
        assert made.stop() == 0
        assert cell.accounts.callers.read_text().strip() not in made.log.read_text()


def test_a_machine_that_boots_becomes_itself_and_leaves_by_itself(cell: Lab, service: epoxy_service.Service) -> None:
    mine, other = (machine.made(service, Extensions=["allocate_k8s_token", "node_delete"]) for _ in range(2))
    for one in (mine, other):
        assert one.stage1().status_code == 200
        assert [one.ask(stage).status_code for stage in ("stage2", "stage3")] == [200, 200]
    given = mine.ask("allocate_k8s_token", json={})
    assert given.status_code == 200 and given.headers["Content-Type"] == "application/json; charset=utf-8"
    token = given.json()["token"]
    # Another machine with its own session cannot use it for itself, nor ask on behalf of this one.
    stranger = cell.admin.as_bearer(token)
    assert decision(cell.admin, Wish(other.name).file(stranger)) == ("Denied", "EpoxyOtherName")
    assert other.call(mine.urls["allocate_k8s_token"], json={}).status_code == 403
    wish = Wish(mine.name)
    signed = certificate(cell.admin, wish.file(stranger))
    node = cell.admin.as_client(service.directory, signed, wish.private())
    assert node.call("POST", "/api/v1/nodes", {"metadata": {"name": mine.name}}).status_code == 201
    assert mine.report().status_code == 204
    replay = stranger.call("POST", REQUESTS, Wish(mine.name).document())
    assert replay.status_code == 401 or decision(cell.admin, replay.json()["metadata"]["name"])[0] == "Denied"
    assert mine.ask("allocate_k8s_token", json={}).status_code == 403
    assert mine.ask("node_delete", json={}).status_code == 200
    assert cell.admin.call("GET", f"/api/v1/nodes/{mine.name}").status_code == 404
    assert token not in service.log.read_text() and token.partition(".")[2] not in service.log.read_text()
