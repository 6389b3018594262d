"""The controller that approves what was asked with a token of ours, once, and takes the token away.

Order of one approval: the token is claimed for this very request (compare-and-set on its Secret), the request is
approved, all tokens of the host are deleted. Each step may be repeated: one that was killed in between is finished by
its successor, and two controllers at once cannot let one token serve two requests.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from services.epoxy.tokens import bootstrap, judge
from services.epoxy.tokens.api import MERGE_PATCH, Api, Expired, Failed
from services.epoxy.tokens.judge import Decision, Request, Verdict
from services.epoxy.tokens.metrics import ApproverMetrics

REQUESTS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
SELECTOR = f"spec.signerName={judge.SIGNER}"
SWEEP_S = 30.0
RACES = 5
"""How often one step is tried again because somebody else changed the object in between."""
BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_LOG = logging.getLogger("epoxy.approver")


def run(api: Api, counted: ApproverMetrics, stop: threading.Event) -> None:
    """Follow the requests until `stop` is set; a failure of the API server is retried, more and more patiently."""
    version, swept, failures = "", -SWEEP_S, 0
    while not stop.is_set():
        try:
            if time.monotonic() - swept >= SWEEP_S:
                sweep(api, counted)
                swept = time.monotonic()
            version = version or _all(api, counted)
            counted.synced.set_to_current_time()
            for kind, document in api.watch(REQUESTS, version, fieldSelector=SELECTOR):
                if kind in ("ADDED", "MODIFIED"):
                    handle(api, document, counted)
                version = document["metadata"]["resourceVersion"]
                if stop.is_set():
                    return
            failures = 0
        except Expired:
            version = ""
        except Failed as error:
            # What could not be decided is found again by listing.
            version, failures = "", failures + 1
            counted.failures.inc()
            _LOG.warning("the API server failed", extra={"fields": {"error": str(error), "failures": failures}})
            stop.wait(BACKOFF_S[min(failures, len(BACKOFF_S)) - 1])


def handle(api: Api, document: Mapping[str, Any], counted: ApproverMetrics) -> Verdict:
    """Decide one request and write the decision. Raises `Failed`; then nothing is lost by doing it again."""
    for _ in range(RACES):
        asked = judge.request(document)
        verdict, token = _judge(api, asked)
        if verdict.decision is Decision.LEAVE:
            return verdict
        if token is not None and verdict.decision is Decision.APPROVE and not _claim(api, token, asked):
            continue
        answer = api.call("PUT", f"{REQUESTS}/{asked.name}/approval", _decided(asked, verdict))
        if answer.status == 409:
            current = api.call("GET", f"{REQUESTS}/{asked.name}")
            if current.status == 404:
                return verdict
            if not current.ok:
                raise current.failed(f"reading request {asked.name}")
            document = current.body
            continue
        if answer.status == 404:
            return verdict
        if not answer.ok:
            raise answer.failed(f"deciding request {asked.name}")
        counted.decisions.labels(verdict.decision.value, verdict.reason).inc()
        fields = {"request": asked.name, "host": verdict.host, "reason": verdict.reason, "message": verdict.message}
        _LOG.info(verdict.decision.value.lower(), extra={"fields": fields})
        if token is not None and verdict.decision is Decision.APPROVE:
            forget(api, token.host)
        return verdict
    raise Failed(f"request {document['metadata']['name']}", 409, f"changed {RACES} times while it was decided")


def forget(api: Api, host: str) -> None:
    """Delete every token of a host."""
    for secret in api.list(bootstrap.PATH, labelSelector=bootstrap.host_selector(host))[0]:
        token = bootstrap.issued(secret)
        if token is not None:
            _delete(api, token)


def sweep(api: Api, counted: ApproverMetrics) -> None:
    """Delete what has expired, and finish what somebody began: a token whose request was approved goes."""
    now, left = datetime.now(UTC), 0
    for secret in api.list(bootstrap.PATH, labelSelector=bootstrap.SELECTOR)[0]:
        token = bootstrap.issued(secret)
        if token is None:
            continue
        if token.expires <= now:
            _delete(api, token)
            counted.expired.inc()
        elif token.claim and _was_approved(api, token):
            forget(api, token.host)
        else:
            left += 1
    counted.tokens.set(left)


def _all(api: Api, counted: ApproverMetrics) -> str:
    """Decide what is there; one request that cannot be decided keeps no other waiting. Raises its `Failed` then."""
    found, version = api.list(REQUESTS, fieldSelector=SELECTOR)
    failures = []
    for document in found:
        try:
            handle(api, document, counted)
        except Failed as error:
            failures.append(error)
    if failures:
        raise failures[0]
    return version


def _judge(api: Api, asked: Request) -> tuple[Verdict, bootstrap.Issued | None]:
    verdict = judge.without_token(asked)
    if verdict is not None:
        return verdict, None
    token = _token(api, asked.token_id)
    return judge.with_token(asked, token, datetime.now(UTC)), token


def _token(api: Api, token_id: str) -> bootstrap.Issued | None:
    name = bootstrap.secret_name(token_id)
    answer = api.call("GET", f"{bootstrap.PATH}/{name}")
    if answer.status == 404:
        return None
    if not answer.ok:
        raise answer.failed(f"reading {name}")
    return bootstrap.issued(answer.body)


def _claim(api: Api, token: bootstrap.Issued, asked: Request) -> bool:
    """Take the token for this request; False where it changed, so that it must be judged again."""
    if token.claim == asked.uid:
        return True
    patch = bootstrap.claim(token, request=asked.name, uid=asked.uid)
    answer = api.call("PATCH", token.path, patch, kind=MERGE_PATCH)
    if answer.status in (404, 409):
        return False
    if not answer.ok:
        raise answer.failed(f"claiming {token.name}")
    return True


def _was_approved(api: Api, token: bootstrap.Issued) -> bool:
    """Whether the request that claimed it was approved, or is gone: then the token has done its work."""
    answer = api.call("GET", f"{REQUESTS}/{token.claimed_by}")
    if answer.status == 404:
        return True
    if not answer.ok:
        raise answer.failed(f"reading request {token.claimed_by}")
    found = judge.request(answer.body)
    return found.uid != token.claim or "Approved" in found.conditions


def _delete(api: Api, token: bootstrap.Issued) -> None:
    answer = api.call("DELETE", token.path, {"preconditions": {"uid": token.uid}})
    if not answer.ok and answer.status not in (404, 409):
        raise answer.failed(f"deleting {token.name}")


def _decided(asked: Request, verdict: Verdict) -> dict[str, Any]:
    """The whole request with one condition more; its resourceVersion makes a decision of an old form fail."""
    condition = {
        "type": verdict.decision.value,
        "status": "True",
        "reason": f"Epoxy{verdict.reason}",
        "message": verdict.message,
    }
    status = asked.document.get("status") or {}
    conditions = [*(status.get("conditions") or ()), condition]
    return {**asked.document, "status": {**status, "conditions": conditions}}
