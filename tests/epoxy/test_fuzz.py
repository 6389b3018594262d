"""Random requests against the application itself: nothing but a refusal or an answer, and no record but the caller's.

Requests are near-valid ones, bent at one or more places, so that they get past the first check and into the parsers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.epoxy import (
    app,
    auth,
    context,
    forms,
    manifests,
    metrics,
    objects,
    operations,
    records,
    sessions,
    store,
    writer,
)

EXAMPLES = 40_000 if os.environ.get("MLAB_NIGHTLY") else 800
HOST, OTHER = "mlab1-abc01.test", "mlab2-abc01.test"
ADDRESS = "198.18.5.11"


@dataclass
class Server:
    """The application in this process, its hosts, and a loop to call it in."""

    application: Any
    hosts: store.Store
    loop: asyncio.AbstractEventLoop

    def call(self, method: str, path: bytes, headers: list[tuple[bytes, bytes]], body: list[bytes]) -> int:
        chunks = [*body, b""]
        sent: list[Any] = []

        async def receive() -> Any:
            if not chunks:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks)}

        async def send(message: Any) -> None:
            sent.append(message)

        raw, _, query = path.partition(b"?")
        scope = {
            "type": "http",
            "method": method,
            "http_version": "1.1",
            "scheme": "https",
            "root_path": "",
            "path": _unquoted(raw),
            "raw_path": raw,
            "query_string": query,
            "headers": headers,
            "client": (ADDRESS, 1),
            "server": ("boot.test", 443),
        }
        self.loop.run_until_complete(self.application(scope, receive, send))
        return int(sent[0]["status"])


def _unquoted(raw: bytes) -> str:
    from urllib.parse import unquote

    return unquote(raw.decode("ascii"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("fuzz")
    (folder / "token").write_text("a-token-of-this-test")
    (folder / "objects").mkdir()
    (folder / "objects" / "a").write_text("a")
    hosts = store.connect(f"sqlite://{folder / 'hosts.db'}")
    urls = dict.fromkeys(records.SEQUENCE_KEYS, "https://images.test/{{VERSION}}")
    for name, address in ((HOST, ADDRESS), (OTHER, "198.18.5.12")):
        desired = records.Desired(name, address, urls, urls, "v1", ("join",), False, False, None)
        hosts.put(desired, expected=None)
    writing = writer.Writer(hosts)
    prefix = objects.Prefix(f"file://{folder / 'objects'}")
    offered = {"join": operations.Operation("http://127.0.0.1:9/", stages=frozenset({sessions.Stage.DONE}))}
    chosen = context.Settings(
        "boot.test", prefix, policy=sessions.Policy(stage1_calls=50, stage1_window_s=1), operations=offered
    )
    images = manifests.Manifests(prefix, ())
    shared = context.Context(chosen, hosts, writing, metrics.Metrics(hosts), lambda: None, images)  # type: ignore[arg-type, return-value]
    loop = asyncio.new_event_loop()
    logging.disable(logging.CRITICAL)
    yield Server(app.build(shared, auth.Tokens(folder / "token")).linux, hosts, loop)
    logging.disable(logging.NOTSET)
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    writing.close()
    hosts.close()


VISIBLE = "".join(chr(code) for code in range(33, 127) if chr(code) not in "#? ")
SEGMENT = st.one_of(
    st.sampled_from(
        [
            *(
                HOST,
                OTHER,
                "stage1.ipxe",
                "stage1.json",
                "stage2",
                "stage3",
                "report",
                "extension",
                "join",
                "v1",
                "boot",
            ),
            *("storage", "media", "..", ".", "", "%2e%2e", "%2f", "%00", "%0a", "%ff", "a", "admin", "hosts", "A" * 27),
        ]
    ),
    st.text(VISIBLE, max_size=40),
)
TEMPLATES = st.sampled_from(
    [
        *("/v1/boot/{}/stage1.ipxe", "/v1/boot/{}/stage1.json", "/v1/boot/{}/{}/stage2", "/v1/boot/{}/{}/stage3"),
        *("/v1/boot/{}/{}/report", "/v1/boot/{}/{}/extension/{}", "/v1/storage/{}/{}", "/v1/media/{}/{}", "/{}/{}/{}"),
        *("/admin/v1/hosts/{}", "/admin/v1/locks/{}/{}"),
    ]
)
BODY = st.one_of(
    st.binary(max_size=200),
    st.lists(st.tuples(st.sampled_from(sorted(forms.COLLECTED)), st.text(max_size=30)), max_size=8).map(
        lambda pairs: "&".join(f"{key}={value}" for key, value in pairs).encode("utf-8", "surrogatepass")
    ),
    st.sampled_from([b"message=success", b"message=error%3A+x&debug.config=%7B%7D", b"{}", b"%", b"a=%zz&&==&;"]),
    st.just(b'--b\r\nContent-Disposition: form-data; name="mac"\r\n\r\nx\r\n--b--\r\n'),
    st.integers(1, 300_000).map(lambda size: b"a" * size),
)
TYPES = st.sampled_from(
    [
        *(
            b"application/x-www-form-urlencoded",
            b"multipart/form-data; boundary=b",
            b"multipart/form-data",
            b"\xff",
            b"",
        ),
        b"application/json; charset=\xe9",
    ]
)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(
            [b"x-forwarded-for", b"forwarded", b"range", b"host", b"authorization", b"if-match", b"content-length"]
        ),
        st.binary(max_size=40),
    ),
    max_size=4,
)


@settings(max_examples=EXAMPLES, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(["POST", "GET", "HEAD", "PUT", "DELETE", "PATCH"]),
    template=TEMPLATES,
    segments=st.lists(SEGMENT, min_size=3, max_size=3),
    query=st.text(VISIBLE, max_size=20),
    kind=TYPES,
    headers=HEADERS,
    body=st.lists(BODY, max_size=3),
)
def test_no_request_ends_in_a_bug_or_in_anothers_record(
    server: Server,
    method: str,
    template: str,
    segments: list[str],
    query: str,
    kind: bytes,
    headers: list[tuple[bytes, bytes]],
    body: list[bytes],
) -> None:
    path = template.format(*segments) + (f"?{query}" if query else "")
    before = server.hosts.state(OTHER)
    status = server.call(method, path.encode("ascii"), [(b"content-type", kind), *headers], body)
    assert status in {200, 204, 206, 304, 400, 401, 403, 404, 405, 413, 416, 422, 428, 429}, (status, path)
    assert server.hosts.state(OTHER) == before
    found = server.hosts.state(HOST)
    assert found is not None and found.host.observed.last_success_ns == 0


@settings(max_examples=EXAMPLES // 5, database=None)
@given(st.text(max_size=300), st.integers(0, 60))
def test_no_id_survives_in_what_is_kept_of_a_report(text: str, place: int) -> None:
    identity = sessions.draw(bytes(range(80)))["ReportID"]
    secret = f"https://boot.test/v1/boot/{HOST}/{identity}/report?p=word-that-is-secret"
    told = forms.report([("message", text[:place] + " " + secret + " " + text[place:]), ("log.tail", secret)], 1)
    for kept in (told.message, told.details["log.tail"]):
        assert identity not in kept and "word-that-is-secret" not in kept
    with contextlib.suppress(UnicodeEncodeError):
        told.message.encode("utf-8")
