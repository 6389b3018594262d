"""The boot protocol itself: stage1 in both forms, stage2, stage3 and the report.

Each handler reads the request, hands one pure function to the writer and renders what became of the host. A state is
durable before its answer is sent, so that a server that is killed in between finds it when the machine asks again.
"""

from __future__ import annotations

import asyncio
import logging

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.epoxy import beginning, context, forms, pinning, plain, presence, records, scripts, sessions

_LOG = logging.getLogger("epoxy.boot")
JSON = {"Content-Type": "application/json; charset=utf-8"}


@plain.refusing("stage1.ipxe", script=True)
async def stage1_ipxe(request: Request) -> Response:
    """Begin a boot from iPXE; what the form tells of the machine is kept."""
    collected = forms.collected(await forms.read(request))
    boot, secret = await _begin(request, "ipxe", collected)
    return Response(scripts.ipxe(boot, secret), media_type=None, headers=plain.IPXE)


@plain.refusing("stage1.json")
async def stage1_json(request: Request) -> Response:
    """Begin a boot from Linux; its body says nothing."""
    await forms.drain(request)
    boot, secret = await _begin(request, "json", {})
    return Response(scripts.stage1_json(boot, secret), media_type=None, headers=JSON)


@plain.refusing("stage2")
async def stage2(request: Request) -> Response:
    return await _enter(request, sessions.Stage.STAGE2)


@plain.refusing("stage3")
async def stage3(request: Request) -> Response:
    return await _enter(request, sessions.Stage.STAGE3)


@plain.refusing("report")
async def report(request: Request) -> Response:
    """Take a report. Only a form in the body counts; the address and the id are checked before it is believed."""
    here, name, address = context.of(request), plain.host_name(request), context.caller(request)
    identity = request.path_params["session"]
    told = await forms.read(request, multipart=False)
    message = forms.report(told, here.now_ns())
    succeeded = False

    def change(state: sessions.State) -> sessions.State:
        nonlocal succeeded
        beginning.check(state.host, address)
        boot, succeeded = sessions.report(
            state.boot, identity, str(address), message, now_ns=message.at_ns, policy=here.settings.policy
        )
        return beginning.reported(state, boot, success=succeeded, now_ns=message.at_ns)

    after = await here.writer.change(name, change)
    if succeeded and after.boot is not None:
        here.counted.stages.labels(sessions.Stage.DONE.value).inc()
        here.counted.boot_seconds.observe((message.at_ns - after.boot.began_ns) / 1_000_000_000)
    return Response(status_code=204)


def routes() -> list[Route]:
    base = "/v1/boot/{hostname}"
    return [
        Route(f"{base}/stage1.ipxe", stage1_ipxe, methods=["POST"]),
        Route(f"{base}/stage1.json", stage1_json, methods=["POST"]),
        Route(f"{base}/{{session}}/stage2", stage2, methods=["POST"]),
        Route(f"{base}/{{session}}/stage3", stage3, methods=["POST"]),
        Route(f"{base}/{{session}}/report", report, methods=["POST"]),
    ]


async def _begin(request: Request, form: str, collected: dict[str, str]) -> tuple[sessions.Boot, scripts.Urls]:
    here, name = context.of(request), plain.host_name(request)
    address = context.caller(request)
    now_ns = here.now_ns()
    ids = sessions.draw(here.entropy(sessions.ID_BYTES * len(records.SESSION_KEYS)))

    rule = presence.Rule.IGNORE if here.witness is None else here.witness.rule
    suspicious, certified = False, context.certified(request, name)

    def change(state: sessions.State) -> sessions.State:
        nonlocal suspicious
        beginning.admit(state, address, here.settings.policy, now_ns)
        if not certified:
            raise sessions.Refused("certificate", "Caller has no certificate of this host")
        assert address is not None, "admitted"
        call = beginning.Call(
            form,
            address,
            now_ns,
            ids,
            collected,
            releases=found.releases,
            sha256=found.sha256,
            pinned=here.images.required,
            rule=rule,
            seen=seen,
        )
        suspicious = beginning.unannounced(state.host, call)
        return beginning.begin(state, call)

    found, seen = pinning.Pins({}, {}), None
    try:
        after = await here.writer.change(name, change)
    except beginning.Unasked:
        found = await pinning.pins(here, name, now_ns)
        seen = None if here.witness is None else await asyncio.to_thread(here.witness.of, name)
        try:
            after = await here.writer.change(name, change)
        finally:
            if suspicious:
                here.counted.unannounced.labels(name, rule.value).inc()
                _LOG.warning("a healthy machine asks to boot", extra={"fields": {"machine": name, "rule": rule.value}})
    assert after.boot is not None, "stage1 leaves a boot"
    here.counted.stage1.labels(name).inc()
    here.counted.stages.labels(sessions.Stage.STAGE1.value).inc()
    advertised = tuple(name for name in after.host.desired.extensions if name in here.settings.operations)
    return after.boot, scripts.urls(here.settings.public_host, name, ids, advertised)


async def _enter(request: Request, stage: sessions.Stage) -> Response:
    here, name, address = context.of(request), plain.host_name(request), context.caller(request)
    identity = request.path_params["session"]
    await forms.drain(request)
    now_ns = here.now_ns()
    first = False

    def change(state: sessions.State) -> sessions.State:
        nonlocal first
        beginning.check(state.host, address)
        boot = sessions.enter(state.boot, stage, identity, str(address), now_ns=now_ns, policy=here.settings.policy)
        first = state.boot is not None and boot.stage is not state.boot.stage
        return beginning.entered(state, boot)

    after = await here.writer.change(name, change)
    assert after.boot is not None, "a stage needs a boot"
    if first:
        here.counted.stages.labels(stage.value).inc()
    return Response(scripts.stage_json(after.boot, stage), media_type=None, headers=JSON)
