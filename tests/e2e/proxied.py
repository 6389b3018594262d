"""A whole platform for one environment, with a proxy in front of each of its servers that breaks them on demand.

`platform.json`, which says where the targets are, is rewritten so that `mlab` finds the proxies; the platform itself
keeps the true addresses. The API server's proxy speaks plain HTTP to the client and the administrator's TLS behind.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconcilers.core import engine
from reconcilers.core.model import Plan, Resource
from reconcilers.fleet.model import Environment
from reconcilers.load import fleet as loading
from reconcilers.load.jsonnet import Engine
from reconcilers.providers import targets
from reconcilers.render import all as rendering
from tests import dnsproxy
from tests.e2e.checkout import Checkout
from tests.faultproxy import Fault, FaultProxy
from tests.fleets import CHECKOUT
from tests.kubernetes import proxied as kubernetes


@dataclass(frozen=True, slots=True)
class Proxied:
    """The proxies by target, and the way around them."""

    checkout: Checkout
    env: str
    proxies: Mapping[str, Sequence[Any]]
    """Each breaks in its own way: a `FaultProxy` by HTTP, a `DnsProxy` by DNS."""
    broken: Mapping[str, Any]
    straight: Environment
    """The overlay with the proxies' addresses, and the environment with the true ones."""

    @contextmanager
    def fault(self, target: str, fault: Fault | dnsproxy.Fault) -> Iterator[None]:
        """A target's servers are broken within."""
        try:
            for proxy in self.proxies[target]:
                proxy.fault = fault
            yield
        finally:
            for proxy in self.proxies[target]:
                proxy.fault = None

    def desired(self) -> Mapping[str, tuple[Resource, ...]]:
        """What the configuration wants at each target."""
        fleet = loading.load(self.checkout.root, overlay=self.broken).require()
        renderer = Engine(CHECKOUT / "jsonnet", None)
        return rendering.desired(fleet, fleet.environments[self.env], engine=renderer)

    def plan(self, target: str, wanted: Sequence[Resource]) -> Plan:
        """What is left to do at a target, past the proxies."""
        with closing(targets.connect(target, self.straight)) as provider:
            return engine.observe(engine.Work(provider, tuple(wanted)))


@contextmanager
def platform(checkout: Checkout, env: str) -> Iterator[Proxied]:
    """Start it, put the proxies in front, and stop everything at the end."""
    up = checkout.mlab("up", "--env", env)
    assert up.status == 0, up.out + up.err
    try:
        with ExitStack() as stack:
            path = checkout.state / "platform" / "platform.json"
            straight = json.loads(path.read_text())
            document = json.loads(path.read_text())
            where = document["environments"][env]["targets"]
            proxies: dict[str, Sequence[Any]] = {
                "buckets": [_http(stack, where["buckets"], "endpoint")],
                "epoxy": [_http(stack, where["epoxy"], "url", below="/admin")],
                "monitoring": [
                    _http(stack, where["monitoring"], "prometheus_url"),
                    _http(stack, where["monitoring"], "alertmanager_url"),
                ],
                "dns": [_dns(stack, where["dns"])],
                "kubernetes": [_kubernetes(stack, where["kubernetes"], checkout.state / "proxied.kubeconfig")],
            }
            path.write_text(json.dumps(document))
            fleet = loading.load(checkout.root, overlay=straight).require()
            yield Proxied(checkout, env, proxies, document, fleet.environments[env])
    finally:
        assert checkout.mlab("down").status == 0


def _http(stack: ExitStack, where: dict[str, Any], key: str, *, below: str = "") -> FaultProxy:
    proxy = stack.enter_context(FaultProxy(where[key].removesuffix(below)))
    where[key] = proxy.url + below
    return proxy


def _dns(stack: ExitStack, where: dict[str, Any]) -> dnsproxy.DnsProxy:
    proxy = stack.enter_context(dnsproxy.DnsProxy(where["server"]))
    where["server"] = proxy.address  # what is asked for answers (`ask`) stays the server itself
    return proxy


def _kubernetes(stack: ExitStack, where: dict[str, Any], path: Path) -> FaultProxy:
    straight = Path(where["kubeconfig"]["secretRef"].removeprefix("file:"))
    where["kubeconfig"] = {"secretRef": f"file:{path}"}
    return stack.enter_context(kubernetes.in_front(straight, path))
