"""What Prometheus and Alertmanager say of themselves, and the request that makes them read their files again.

Protocol: Prometheus' HTTP API v1 (`/api/v1/status/config`, `/api/v1/rules`, `/api/v1/format_query`), Alertmanager's
v2 (`/api/v2/status`), `POST /-/reload` of both, and their own metrics about the last reload. Every call has a
timeout. What a retry may mend is `Temporary`; a configuration that a server refuses is `Permanent`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests
import yaml

from reconcilers.core import retry
from reconcilers.core.errors import Permanent, Temporary, one_line
from reconcilers.providers import bounded_http
from reconcilers.providers.time_limits import Limits

LIMITS = Limits(connect_s=3.05, read_s=10.0, total_s=60.0)
RELOAD_S = 60.0
"""A reload answers when the new configuration runs; with thousands of targets that takes seconds."""
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Prometheus:
    """The running Prometheus: whether its last reload worked, when one did (epoch seconds), and what it runs on."""

    reload_ok: bool
    reloaded: float
    config: Any
    groups: Mapping[str, tuple[Mapping[str, Any], ...]]
    """Rule groups by the path of their file, as the server prints it."""


@dataclass(frozen=True, slots=True)
class Alertmanager:
    """The running Alertmanager; `config_hash` is the one of its metric, None in a version without it."""

    reload_ok: bool
    reloaded: float
    config: Any
    config_hash: float | None


class Servers:
    """A session with both servers of one environment."""

    def __init__(self, prometheus_url: str, alertmanager_url: str, limits: Limits = LIMITS) -> None:
        self.prometheus_url = prometheus_url.rstrip("/")
        self.alertmanager_url = alertmanager_url.rstrip("/")
        self._session = requests.Session()
        # These are servers inside our own network: a proxy of the person's shell is not the way to them.
        self._session.trust_env = False
        bounded_http.bound(self._session, limits.total_s, provider="monitoring")
        self._limits = limits
        self._reload_s = min(RELOAD_S, limits.total_s)
        self._formatted: dict[str, str] = {}

    def close(self) -> None:
        """Give back the connections."""
        self._session.close()

    def prometheus(self) -> Prometheus:
        """Ask Prometheus for its state."""
        url = self.prometheus_url
        metrics = self._metrics(url)
        config = _yaml(self._data(f"{url}/api/v1/status/config", "yaml"), f"{url}/api/v1/status/config")
        groups: dict[str, list[Mapping[str, Any]]] = {}
        listed = self._data(f"{url}/api/v1/rules?exclude_alerts=true", "groups")
        try:
            for group in listed:
                groups.setdefault(str(group["file"]), []).append(group)
        except (TypeError, KeyError):
            raise _rubbish(f"{url}/api/v1/rules") from None
        return Prometheus(
            reload_ok=metrics.get("prometheus_config_last_reload_successful") == 1,
            reloaded=metrics.get("prometheus_config_last_reload_success_timestamp_seconds", 0.0),
            config=config,
            groups={file: tuple(found) for file, found in groups.items()},
        )

    def alertmanager(self) -> Alertmanager:
        """Ask Alertmanager for its state."""
        url = f"{self.alertmanager_url}/api/v2/status"
        metrics = self._metrics(self.alertmanager_url)
        status = self._json(url)
        try:
            original = status["config"]["original"]
        except (TypeError, KeyError):
            raise _rubbish(url) from None
        return Alertmanager(
            reload_ok=metrics.get("alertmanager_config_last_reload_successful") == 1,
            reloaded=metrics.get("alertmanager_config_last_reload_success_timestamp_seconds", 0.0),
            config=_yaml(original, url),
            config_hash=metrics.get("alertmanager_config_hash"),
        )

    def file_read_errors(self) -> float:
        """How many target files Prometheus could not read since its start."""
        return self._metrics(self.prometheus_url).get("prometheus_sd_file_read_errors_total", 0.0)

    def reload(self) -> None:
        """Make both read their files again. Raises `Permanent` with the server's reason if one refuses them."""
        for url in (self.prometheus_url, self.alertmanager_url):
            where = f"{url}/-/reload"
            answer = self._ask("POST", where, read_s=self._reload_s)
            if answer.status_code == 500 and "reload" in answer.text:
                raise Permanent(f"{where}: the configuration is refused: {one_line(answer.text)}")
            _require(answer, where)

    def formatted(self, expression: str) -> str:
        """The expression in the one form that Prometheus' printer gives it; itself if it does not parse."""
        if expression not in self._formatted:
            url = f"{self.prometheus_url}/api/v1/format_query"
            answer = self._ask("POST", url, form={"query": expression})
            if answer.status_code == 400:
                return expression
            _require(answer, url)
            self._formatted[expression] = str(_member(answer, url, "data"))
        return self._formatted[expression]

    def _data(self, url: str, key: str) -> Any:
        try:
            return self._json(url)["data"][key]
        except (TypeError, KeyError):
            raise _rubbish(url) from None

    def _json(self, url: str) -> Any:
        answer = self._ask("GET", url)
        _require(answer, url)
        try:
            return answer.json()
        except (ValueError, RecursionError):
            raise _rubbish(url) from None

    def _metrics(self, url: str) -> Mapping[str, float]:
        """The samples without labels, which is all that is asked for here."""
        answer = self._ask("GET", f"{url}/metrics")
        _require(answer, f"{url}/metrics")
        found = {}
        for line in answer.text.splitlines():
            name, _, value = line.partition(" ")
            if name and name[0] != "#" and "{" not in name:
                try:
                    found[name] = float(value)
                except ValueError:
                    raise _rubbish(f"{url}/metrics") from None
        return found

    def _ask(
        self, method: str, url: str, *, read_s: float | None = None, form: Mapping[str, str] | None = None
    ) -> requests.Response:
        read_s = read_s or self._limits.read_s
        timeout_s = (self._limits.connect_s, read_s)
        try:
            return self._session.request(method, url, timeout=timeout_s, data=form, allow_redirects=False)
        except (bounded_http.Unfinished, bounded_http.TooLarge) as error:
            raise Temporary(f"{url}: {error}") from None
        except requests.Timeout:
            raise Temporary(f"{url}: no answer within {read_s:g} s") from None
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, requests.exceptions.MissingSchema):
            raise Permanent(f"{url}: no URL of a server; correct targets.monitoring") from None
        except requests.RequestException as error:
            raise Temporary(f"{url}: not reachable: {bounded_http.reason(error)}") from None


def _require(answer: requests.Response, url: str) -> None:
    status = answer.status_code
    if status == 200:
        return
    text = f"{url}: HTTP {status}: {one_line(answer.text) or answer.reason}"
    if status in _PASSING:
        raise Temporary(text, retry.retry_after_s(answer.headers.get("Retry-After")), throttled=status == 429)
    raise Permanent(text)


def _member(answer: requests.Response, url: str, key: str) -> Any:
    try:
        return answer.json()[key]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise _rubbish(url) from None


def _yaml(text: Any, url: str) -> Any:
    if not isinstance(text, str):
        raise _rubbish(url)
    try:
        return yaml.load(text, Loader=_LOADER)
    except yaml.YAMLError:
        raise _rubbish(url) from None


def _rubbish(url: str) -> Permanent:
    return Permanent(f"{url}: the answer is not the one of this API; is another program listening there?")
