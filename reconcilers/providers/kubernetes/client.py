"""The thin edge to an API server: requests, paging, discovery, and which status means which of our errors.

The official client reads the kubeconfig, renews tokens and sets up TLS; its generated models are not used, since
objects here are plain JSON. Importing it takes 0.6 s, therefore it is imported when a connection is first needed.
Protocol: Kubernetes API concepts (paging by `limit` and `continue`), aggregated discovery v2.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from reconcilers.core import retry
from reconcilers.core.errors import Conflict, MlabError, Permanent, Temporary, one_line
from reconcilers.providers import secrets, traffic
from reconcilers.providers.time_limits import Limits

APPLY = "application/apply-patch+yaml"
JSON_PATCH = "application/json-patch+json"
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
PAGE = 500
LIMITS = Limits(connect_s=5.0, read_s=30.0, total_s=90.0)
CONNECTIONS = 16
TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Api:
    """One kind as the server offers it."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool

    def path(self, namespace: str = "", name: str = "") -> str:
        """URL path of the collection (of one namespace, or of all) or of one object."""
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        return "/" + "/".join(parts + ([name] if name else []))


@dataclass(frozen=True, slots=True)
class Answer:
    """Any complete HTTP answer; `body` is a JSON object."""

    status: int
    headers: Mapping[str, str]
    body: Mapping[str, Any]

    @property
    def ok(self) -> bool:
        """2xx."""
        return 200 <= self.status < 300

    def causes(self) -> list[Mapping[str, Any]]:
        """`details.causes` of a Status object: reason, field, message."""
        details = self.body.get("details") or {}
        return list(details.get("causes") or [])

    def is_field_conflict(self) -> bool:
        """True if other field managers hold what an apply wanted to change."""
        causes = self.causes()
        return self.status == 409 and bool(causes) and all(c.get("reason") == "FieldManagerConflict" for c in causes)

    def is_refusal(self) -> bool:
        """True if the object itself is at fault. A field that no schema knows makes an apply answer 500."""
        unknown = self.status == 500 and "field not declared in schema" in str(self.body.get("message"))
        return self.status in (400, 422) or unknown

    def server_time(self) -> datetime:
        """The server's clock, so that leases do not depend on ours; ours only if the server sends no date."""
        date = self.headers.get("Date")
        return parsedate_to_datetime(date).astimezone(UTC) if date else datetime.now(UTC)

    @property
    def absent(self) -> bool:
        """The API's own word that an object is not there, which some gateway's page is not."""
        return self.status == 404 and self.body.get("kind") == "Status"

    def error(self, what: str, *, secret: bool = False) -> MlabError:
        """Which of our errors this status is. The server's words may hold values, so a secret's are left out."""
        words = str(self.body.get("message") or self.body.get("reason") or "")
        if secret:
            words = ", ".join(sorted({str(c.get("field")) for c in self.causes()})) or str(self.body.get("reason"))
        text = one_line(f"{what}: HTTP {self.status}: {words}")
        if self.status in (409, 412):
            return Conflict(text)
        terminating = any(c.get("reason") == "NamespaceTerminating" for c in self.causes())
        if terminating or (self.status in TRY_AGAIN and not self.is_refusal()):
            wish = retry.retry_after_s(self.headers.get("Retry-After"))
            return Temporary(text, wish, throttled=self.status == 429)
        return Permanent(text)


class Client:
    """One connection pool; safe for threads. `kubeconfig` None means the account of the pod that we run in."""

    def __init__(self, kubeconfig: Path | None, context: str | None = None, limits: Limits = LIMITS) -> None:
        self._kubeconfig = kubeconfig
        self._context = context
        self._limits = limits
        self._lock = threading.Lock()
        self._connection: tuple[Any, Any] | None = None
        self._kinds: Mapping[tuple[str, str], tuple[Api, ...]] | None = None

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Answer:
        """One request, no retry of its own. Raises `Temporary` where no complete answer came."""
        import urllib3

        configuration, pool = self._open()
        headers = {"Accept": accept, "Content-Type": content_type, "User-Agent": "mlab-reconciler"}
        for setting in configuration.auth_settings().values():
            headers[setting["key"]] = setting["value"]
            secrets.register(str(setting["value"]).removeprefix("Bearer ").removeprefix("Basic "))
        url = configuration.host + path + ("?" + urlencode(query) if query else "")
        data = None if body is None else json.dumps(body).encode()
        timeout = urllib3.Timeout(connect=self._limits.connect_s, read=self._limits.read_s)
        try:
            response = pool.request(
                method, url, body=data, headers=headers, timeout=timeout, retries=False, preload_content=False
            )
            content = _read(response, self._limits.total_s)
            traffic.note("kubernetes", method, response.status)
        except urllib3.exceptions.SSLError as error:
            raise Permanent(f"{configuration.host}: TLS: {one_line(str(error))}; check the kubeconfig's CA") from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            reason = one_line(str(getattr(error, "reason", error)))
            raise Temporary(f"{configuration.host}: cannot be reached: {reason}") from None
        answer = Answer(response.status, response.headers, _json(content))
        if answer.ok and "kind" not in answer.body:  # a page of some gateway: it must not pass for an empty list
            raise Temporary(f"{configuration.host}: {method} {path}: the answer is no object of Kubernetes")
        return answer

    def list_all(self, api: Api, *, label: str = "", namespace: str = "", metadata_only: bool = False) -> list[Any]:
        """All objects of a kind, page by page; objects of a list bear no kind of their own, so it is put in."""
        for last in (False, True):
            found = self._pages(api, label, namespace, metadata_only)
            if found is not None:
                return found
            if last:
                break
        raise Temporary(f"listing {api.plural}: the list expired twice between two pages")

    def _pages(self, api: Api, label: str, namespace: str, metadata_only: bool) -> list[Any] | None:
        query = {"limit": str(PAGE)} | ({"labelSelector": label} if label else {})
        accept = METADATA_ONLY if metadata_only else "application/json"
        items: list[Any] = []
        while True:
            answer = self.request("GET", api.path(namespace), query=query, accept=accept)
            if answer.status == 410:  # the snapshot behind the continue token was compacted: begin again
                return None
            if answer.status == 404:  # the kind went away since discovery, and all its objects with it
                return []
            if not answer.ok:
                raise answer.error(f"listing {api.plural}")
            if not str(answer.body["kind"]).endswith("List"):
                raise Temporary(f"listing {api.plural}: the answer is a {answer.body['kind']}, no list")
            version = f"{api.group}/{api.version}" if api.group else api.version
            items += [{**item, "apiVersion": version, "kind": api.kind} for item in answer.body.get("items") or []]
            token = (answer.body.get("metadata") or {}).get("continue")
            if not token:
                return items
            query["continue"] = token

    def find(self, kind: str, group: str, version: str = "") -> Api | None:
        """The kind as the server offers it, in that version or in the preferred one; None if it does not."""
        with self._lock:
            kinds = self._kinds
        if kinds is None:
            kinds = self.discover()
        offered = kinds.get((group, kind), ())
        return next((api for api in offered if not version or api.version == version), None)

    def discover(self) -> Mapping[tuple[str, str], tuple[Api, ...]]:
        """Ask anew what kinds there are: two requests; a server of before 1.30 answers them in another form."""
        found: dict[tuple[str, str], tuple[Api, ...]] = {}
        for path in ("/api", "/apis"):
            answer = self.request("GET", path, accept=DISCOVERY)
            if not answer.ok:
                raise answer.error("discovery")
            if answer.body.get("kind") != "APIGroupDiscoveryList":
                raise Permanent(
                    "discovery: the server has no aggregated discovery v2; it must be Kubernetes 1.30 or later"
                )
            for api in _offered(answer.body):
                found[api.group, api.kind] = (*found.get((api.group, api.kind), ()), api)
        with self._lock:
            self._kinds = found
        return found

    def close(self) -> None:
        """Give back the connections."""
        with self._lock:
            if self._connection is not None:
                self._connection[1].clear()
                self._connection = None

    def _open(self) -> tuple[Any, Any]:
        with self._lock:
            if self._connection is None:
                self._connection = _connect(self._kubeconfig, self._context)
            return self._connection


def _connect(kubeconfig: Path | None, context: str | None) -> tuple[Any, Any]:
    import yaml
    from kubernetes import client, config

    configuration = client.Configuration()
    configuration.connection_pool_maxsize = CONNECTIONS
    where = str(kubeconfig) if kubeconfig else "the pod's own account"
    try:
        if kubeconfig is not None:
            secrets.register(kubeconfig.read_text())
        if kubeconfig is None:
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            config.load_kube_config(  # type: ignore[no-untyped-call]
                str(kubeconfig), context, client_configuration=configuration, persist_config=False
            )
        pool = client.ApiClient(configuration).rest_client.pool_manager
    except (config.ConfigException, yaml.YAMLError, OSError, ValueError, TypeError, AttributeError) as error:
        # The parser's words may quote the file, which holds keys: name the file and the kind of error only.
        what = one_line(str(error)) if isinstance(error, config.ConfigException) else type(error).__name__
        raise Permanent(f"{where}: not a usable kubeconfig: {what}") from None
    return configuration, pool


def _read(response: Any, total_s: float) -> bytes:
    """The whole body. A server that sends a byte now and then would otherwise hold us for ever."""
    deadline = time.monotonic() + total_s
    parts = []
    while part := response.read1(1 << 20):
        parts.append(part)
        if time.monotonic() > deadline:
            response.close()
            raise TimeoutError(f"the answer is not complete after {total_s:g} s")
    response.release_conn()
    return b"".join(parts)


def _json(data: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return {"message": data[:256].decode(errors="replace")} if data else {}
    return value if isinstance(value, dict) else {}


def _offered(document: Mapping[str, Any]) -> Iterator[Api]:
    for group in document.get("items") or []:
        name = (group.get("metadata") or {}).get("name", "")
        for version in group.get("versions") or []:
            for item in version.get("resources") or []:
                kind = item.get("responseKind") or {}
                if "/" not in item["resource"]:
                    yield Api(
                        name, version["version"], kind.get("kind", ""), item["resource"], item["scope"] == "Namespaced"
                    )
