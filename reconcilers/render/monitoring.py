"""The files of Prometheus and Alertmanager for one environment.

jsonnet shapes what has a structure of its own (scrape jobs, rules, routes); the target files, which grow with the
fleet, come from derived data directly. Without an overlay the result is production's, with discovery from inside
the cluster. With `monitoring.scrape_proxy_url` no job of it asks a name of the fleet directly.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import yaml

from reconcilers.core.errors import ConfigError
from reconcilers.core.model import Id, Resource, Span
from reconcilers.fleet.model import Entity, Environment, Fleet
from reconcilers.load import codes
from reconcilers.load.jsonnet import Engine
from reconcilers.render import monitoring_targets as targets

KIND = "File"
INTERVAL = "60s"
PROMETHEUS = "prometheus/prometheus.yml"
ALERTMANAGER = "alertmanager/alertmanager.yml"
_PORTS = {"http": 80, "https": 443}


def resources(fleet: Fleet, environment: Environment, engine: Engine) -> tuple[Resource, ...]:
    """prometheus.yml, a rule file for each alert group, the target files, alertmanager.yml.

    The two main files are adopted where they are not ours yet: no server starts without one.
    """
    groups = list(fleet.alerts.values())
    if fleet.routing is None:
        raise _refused(environment, "there is no config/alerts/routing.yaml: nobody would be told of an alert")
    if not groups:
        raise _refused(environment, "there is no alert group in config/alerts/: nothing would ever alert")
    made = [_file(PROMETHEUS, _prometheus(environment, groups, engine), environment.span, adopt=True)]
    rules = engine.evaluate(
        "monitoring/rules.jsonnet",
        {
            "project": environment.project,
            "domain": environment.services_domain,
            "groups": [_plain(group.data) for group in groups],
        },
        source=groups[0].span,
    )
    made += [_file(_rule_file(group), _yaml(rules[group.name]), group.span) for group in groups]
    spans = _sources(fleet)
    for path, content in targets.contents(fleet, environment.project, environment.domain).items():
        made.append(_file(f"prometheus/targets/{path}", content, spans[path]))
    made.append(_file(ALERTMANAGER, _alertmanager(environment, fleet.routing, engine), fleet.routing.span, adopt=True))
    return tuple(made)


def _prometheus(environment: Environment, groups: list[Entity], engine: Engine) -> str:
    surroundings = environment.data.get("monitoring", {})
    target = environment.data["targets"]["monitoring"]
    alertmanager = urlsplit(target["alertmanager_url"])
    document = {
        "project": environment.project,
        "domain": environment.services_domain,
        "interval": surroundings.get("scrape_interval") or INTERVAL,
        "proxy_url": surroundings.get("scrape_proxy_url"),
        "kubeconfig_file": surroundings.get("kubeconfig_file"),
        "prometheus": _address(target["prometheus_url"]),
        "alertmanager": {
            "scheme": alertmanager.scheme,
            "address": _address(target["alertmanager_url"]),
            "path": alertmanager.path.rstrip("/"),
        },
        "rule_files": [_rule_file(group).removeprefix("prometheus/") for group in groups],
    }
    return _yaml(engine.evaluate("monitoring/prometheus.jsonnet", document, source=environment.span))


def _alertmanager(environment: Environment, routing: Entity, engine: Engine) -> str:
    receiver_url = environment.data.get("monitoring", {}).get("receiver_url")
    document = {
        "project": environment.project,
        "environment": environment.name,
        "domain": environment.services_domain,
        "receiver_url": receiver_url.rstrip("/") if receiver_url else None,
        "routing": _plain(routing.data),
    }
    return _yaml(engine.evaluate("monitoring/alertmanager.jsonnet", document, source=routing.span))


def _rule_file(group: Entity) -> str:
    return f"prometheus/rules/{group.name}.yml"


def _sources(fleet: Fleet) -> Mapping[str, Span]:
    """What a target file is there for: its experiment, or the sites as a whole."""
    of = {name: e.span for e in fleet.experiments.values() for name in (e.name, *e.aliases)}
    return {file.path: of.get(file.of, Span("config/sites")) for file in targets.FILES}


def _address(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or _PORTS[parts.scheme]}"


def _file(name: str, content: str, span: Span, *, adopt: bool = False) -> Resource:
    return Resource(Id(KIND, name), {"content": content}, span, adopt=adopt)


def _plain(data: Mapping[str, Any]) -> dict[str, Any]:
    """The object without what only tests and rules read: it would make every cache key depend on them."""
    plain = {key: value for key, value in data.items() if key not in ("tests", "allow")}
    if "alerts" in plain:
        plain["alerts"] = [{key: value for key, value in alert.items() if key != "tests"} for alert in plain["alerts"]]
    return plain


def _refused(environment: Environment, message: str) -> ConfigError:
    problem = codes.ALERTS.at(environment.span, message)
    return ConfigError(f"{environment.span}: {message}; add one, or restore it", [problem])


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Block style, long texts unfolded, expressions of several lines as they were written."""


def _text(dumper: Any, value: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def _yaml(document: Any) -> str:
    text: str = yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=4096, allow_unicode=True)
    return text
