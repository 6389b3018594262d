"""What those see whom an environment serves: published files over plain HTTP, alerts that page somebody.

Asked after an apply, without credentials: that an API accepted a write is not yet that anybody can read it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from urllib.parse import quote

import requests

from reconcilers.core.errors import one_line
from reconcilers.core.model import Resource
from reconcilers.fleet.model import Environment

STORAGE = "https://storage.googleapis.com"
PUBLIC = ("allUsers",)
TIMEOUT_S = 30.0
FILES = 12
"""As many published files are read, the indexes among them: together they name the digest of every other."""


def unreadable(environment: Environment, resources: Sequence[Resource]) -> Iterator[str]:
    """Published files that nobody can read, or that are not what git wants; one line each."""
    endpoint = (environment.data["targets"]["buckets"].get("endpoint") or STORAGE).rstrip("/")
    public = {r.id.name for r in resources if r.id.kind == "BucketIam" and _is_public(r)}
    files = [r for r in resources if r.id.kind == "Object" and r.spec["bucket"] in public]
    with requests.Session() as session:
        session.trust_env = endpoint == STORAGE
        for resource in sampled(files, FILES, first=lambda r: r.id.name.endswith("/index.json")):
            url = f"{endpoint}/{quote(resource.spec['bucket'])}/{quote(resource.spec['name'])}"
            try:
                answer = session.get(url, timeout=TIMEOUT_S)
            except requests.RequestException as error:
                yield f"{resource.id}: nobody can read it: {one_line(str(error))}"
                continue
            if not answer.ok:
                yield f"{resource.id}: nobody can read it: {answer.status_code} {answer.reason}"
            elif hashlib.sha256(answer.content).hexdigest() != resource.spec["sha256"]:
                yield f"{resource.id}: what everybody reads is not what git wants"


def paging(environment: Environment) -> Iterator[str]:
    """Alerts that page somebody now; one line each."""
    url = f"{environment.data['targets']['monitoring']['prometheus_url'].rstrip('/')}/api/v1/alerts"
    try:
        answer = requests.get(url, timeout=TIMEOUT_S)
        answer.raise_for_status()
        alerts = answer.json()["data"]["alerts"]
    except (requests.RequestException, ValueError, KeyError, TypeError) as error:
        yield f"the alerts are not known: {one_line(str(error))}"
        return
    for alert in alerts:
        labels = alert.get("labels", {})
        if alert.get("state") == "firing" and labels.get("severity") == "page":
            where = ", ".join(f"{k}={v}" for k, v in sorted(labels.items()) if k not in ("alertname", "severity"))
            yield f"alert {labels.get('alertname', '?')} pages somebody ({where or 'no labels'})"


def sampled(
    items: Iterable[Resource], number: int, *, first: Callable[[Resource], bool] = lambda item: False
) -> list[Resource]:
    """At most so many, spread evenly over all in the order of their ids; those that `first` picks before the others."""
    ordered = sorted(items, key=lambda item: item.id)
    chosen = [item for item in ordered if first(item)]
    rest = [item for item in ordered if item not in chosen]
    room = max(0, number - len(chosen))
    step = max(1, -(-len(rest) // room)) if room else len(rest) + 1
    return [*chosen, *rest[::step]] if room else chosen


def _is_public(grants: Resource) -> bool:
    return any(b["member"] in PUBLIC and b["role"].endswith("objectViewer") for b in grants.spec["bindings"])
