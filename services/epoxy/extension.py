"""Extensions: a machine's request, checked and passed on to the server that the operator named for the operation.

The request that is passed on is the original's, `v1`, so that extension servers in use work unchanged; `v2` beside it
carries the client's body, because `raw_query` was the only way for a secret and ends up in access logs. Of the
client's headers only the type of its body goes on. The answer comes back as it is, within limits.
"""

from __future__ import annotations

import asyncio
import base64
import time

import aiohttp
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.epoxy import beginning, context, forms, incoming, operations, plain, records, scripts, sessions

MAX_BODY_BYTES = 64 * 1024
MAX_ANSWER_BYTES = 1024 * 1024
_ANSWER_HEADERS = ("content-type", "retry-after", "cache-control")


@plain.refusing("extension")
async def extension(request: Request) -> Response:
    """Pass one operation on; counted against the boot before it is, so that a lost answer is not a free try."""
    here, name, address = context.of(request), plain.host_name(request), context.caller(request)
    identity, operation = request.path_params["session"], request.path_params["operation"]
    body = await incoming.read_body(request, MAX_BODY_BYTES)
    now_ns = here.now_ns()
    shown = operation if operations.NAME.fullmatch(operation) else "other"

    row = here.settings.operations.get(operation)

    def change(state: sessions.State) -> sessions.State:
        beginning.check(state.host, address)
        boot = sessions.extend(
            state.boot,
            identity,
            str(address),
            operation if row else "",
            frozenset(sessions.Stage) if row is None else row.stages,
            now_ns=now_ns,
            policy=here.settings.policy,
        )
        if row is None:
            raise sessions.Refused("operation-unknown", f"Unknown Extension for operation: {shown}", status=500)
        if operation not in state.host.desired.extensions:
            raise sessions.Refused("operation-denied", f"Operation is not permitted to this host: {shown}")
        return sessions.State(state.host, boot)

    after = await here.writer.change(name, change)
    assert row is not None, "refused otherwise"
    began_s = time.monotonic()
    response = await _pass_on(here, row, _document(after, address, request, body), request)
    here.counted.extension_seconds.labels(operation, str(response.status_code)).observe(time.monotonic() - began_s)
    return response


def routes() -> list[Route]:
    path = "/v1/boot/{hostname}/{session}/extension/{operation}"
    return [Route(path, extension, methods=["POST"])]


def _document(state: sessions.State, address: object, request: Request, body: bytes) -> str:
    desired, boot = state.host.desired, state.boot
    assert boot is not None, "an extension needs a boot"
    caller = str(address)
    last_boot = records.rfc3339(state.host.observed.last_session_creation_ns)
    return scripts.go_json(
        {
            "v1": {
                "hostname": desired.name,
                "ipv4_address": desired.ipv4_addr,
                "ipv6_address": caller if ":" in caller else "",
                "last_boot": last_boot,
                "raw_query": request.scope["query_string"].decode("latin-1"),
            },
            "v2": {
                "hostname": desired.name,
                "address": caller,
                "last_boot": last_boot,
                "boot": boot.number,
                "stage": boot.stage,
                "content_type": request.headers.get("content-type", "")[: forms.MAX_VALUE],
                "body_base64": base64.b64encode(body).decode("ascii"),
            },
        }
    )


async def _pass_on(here: context.Context, row: operations.Operation, document: str, request: Request) -> Response:
    headers = {"Content-Type": request.headers.get("content-type") or "application/json"}
    if row.token_file is not None:
        try:
            token = (await asyncio.to_thread(row.token_file.read_text)).strip()
        except OSError:
            return Response(status_code=502)
        headers["Authorization"] = f"Bearer {token}"
    try:
        async with here.http().post(
            row.url,
            data=document.encode("utf-8"),
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=row.timeout_s),
            allow_redirects=False,
            ssl=row.tls or True,
        ) as answer:
            content = await answer.content.read(MAX_ANSWER_BYTES + 1)
            while len(content) <= MAX_ANSWER_BYTES and (more := await answer.content.read(MAX_ANSWER_BYTES)):
                content += more
    except (aiohttp.ClientError, TimeoutError, OSError):
        return Response(status_code=502)
    if len(content) > MAX_ANSWER_BYTES or 300 <= answer.status < 400:
        return Response(status_code=502)
    kept = {key: answer.headers[key] for key in _ANSWER_HEADERS if key in answer.headers}
    return Response(content, answer.status, headers=kept)
