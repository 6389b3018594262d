"""A machine in the middle of a boot, what an attacker may ask for it, and what the server tells of an attack.

An attack is a row: an act, the status of its answer, and the reason that is counted. `expect_refused` carries it out.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests

from services.epoxy import store
from tests import epoxy_service
from tests.epoxy import machine
from tests.epoxy_service import Service

OPERATION = "allocate_k8s_token"


@dataclass
class Scene:
    """A machine whose boot is in stage3, its ids of the boot before, and another machine that boots."""

    host: machine.Machine
    old: dict[str, str]
    other: machine.Machine


Act = Callable[[Scene], requests.Response]
Row = tuple[Act, int, str]


def at(key: str, **more: Any) -> Act:
    return lambda scene: scene.host.ask(key, **more)


def old(key: str) -> Act:
    return lambda scene: scene.host.call(scene.old[key], data={"message": "success"})


def with_id(key: str, of: str) -> Act:
    """Ask for `key` with the id of another stage."""

    def act(scene: Scene) -> requests.Response:
        identity = scene.host.urls[of].split("/")[4]
        return scene.host.call(re.sub(r"/[A-Za-z0-9_-]{27}/", f"/{identity}/", scene.host.urls[key]))

    return act


def others(key: str) -> Act:
    """Our path with the other machine's id."""

    def act(scene: Scene) -> requests.Response:
        identity = scene.other.urls[key].split("/")[4]
        return scene.host.call(re.sub(r"/[A-Za-z0-9_-]{27}/", f"/{identity}/", scene.host.urls[key]))

    return act


def after(seconds: int, key: str) -> Act:
    def act(scene: Scene) -> requests.Response:
        epoxy_service.age(scene.host.service, scene.host.name, seconds)
        return scene.host.ask(key, data={"message": "success"})

    return act


def done(key: str, **more: Any) -> Act:
    def act(scene: Scene) -> requests.Response:
        assert scene.host.report().status_code == 204
        return scene.host.ask(key, **more)

    return act


def path(text: str, method: str = "POST", **more: Any) -> Act:
    """A path as it is written, past what a client would clean; HOST and ID are filled in."""

    def act(scene: Scene) -> requests.Response:
        identity = scene.host.urls["report"].split("/")[4]
        filled = text.replace("HOST", scene.host.name).replace("ID", identity)
        asked = requests.Request(method, scene.host.service.url, **more).prepare()
        asked.url = scene.host.service.url + filled
        asked.headers["X-Forwarded-For"] = scene.host.address
        with requests.Session() as session:
            session.trust_env = False
            return session.send(asked, timeout=30, allow_redirects=False)

    return act


def repeated(key: str, times: int) -> Act:
    def act(scene: Scene) -> requests.Response:
        beside = store.connect(scene.host.service.store_url)

        def change(state: Any) -> Any:
            uses = dict.fromkeys(("Stage3ID", "ReportID", "ExtensionID"), times)
            return dataclasses.replace(state, boot=dataclasses.replace(state.boot, uses=uses))

        beside.change([(scene.host.name, change)])
        beside.close()
        return scene.host.ask(key, data={"message": "error: again"})

    return act


def expect_refused(service: Service, scene: Scene, row: Row, *, changes: bool = False) -> None:
    """Refused, counted, logged without a secret; unless it `changes` something first, the record stays as it was."""
    act, status, reason = row
    before, mark = refused(service), service.log.stat().st_size
    shown_before = record(scene.host)
    answer = act(scene)
    assert answer.status_code == status, answer.text
    counted = {key: value - before.get(key, 0) for key, value in refused(service).items()}
    assert counted.get(reason) == 1, counted
    if not changes:
        assert record(scene.host) == shown_before, "nothing changed"
    with service.log.open("rb") as log:
        log.seek(mark)
        text = log.read().decode()
    ids = {url.split("/")[4] for one in (scene.host.urls, scene.old, scene.other.urls) for url in _secret(one)}
    assert [identity for identity in ids if identity in text or identity in answer.text] == []
    assert "Traceback" not in text


def _secret(urls: dict[str, str]) -> list[str]:
    return [url for key, url in urls.items() if key != "stage1chain"]


def record(host: machine.Machine) -> Any:
    """What the administration shows of a host."""
    return host.service.call("GET", f"/admin/v1/hosts/{host.name}").json()


def refused(service: Service) -> dict[str, float]:
    """Refusals so far by reason, over all routes."""
    found: dict[str, float] = {}
    text = service.call("GET", "/metrics", token=None).text
    for reason, value in re.findall(
        r'^epoxy_refused_total\{reason="([^"]+)",route="[^"]+"\} (\S+)$', text, re.MULTILINE
    ):
        found[reason] = found.get(reason, 0) + float(value)
    return found
