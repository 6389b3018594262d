"""The loop's metrics, `mlab_reconcile_*`, in a registry of their own: one loop a registry, served on `/metrics`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from reconcilers.core.drift import ALL_STATES
from reconcilers.core.events import Event
from reconcilers.core.model import Outcome

BUCKETS_S = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """All of one environment; `scope` is the target's name, or empty for what concerns all of them."""

    def __init__(self, env: str) -> None:
        self.registry = CollectorRegistry()
        self._env = env
        registry = self.registry

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"mlab_reconcile_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"mlab_reconcile_{name}", text, labels, registry=registry)

        self._runs = counter("runs", "Phases that ended, by result.", "env", "scope", "phase", "result")
        self._phases = Histogram(
            "mlab_reconcile_phase_duration_seconds",
            "How long a phase took.",
            ("env", "scope", "phase"),
            registry=registry,
            buckets=BUCKETS_S,
        )
        self._resources = gauge("resources", "Owned resources, by state.", "env", "scope", "state")
        self._changes = counter("changes", "Changes that were tried.", "env", "scope", "action", "outcome")
        self._blocked = gauge("blocked_changes", "Changes that may not be made.", "env", "scope", "reason")
        self._success = gauge("last_success_timestamp_seconds", "When a pass last went well.", "env", "scope")
        self._commit = gauge(
            "commit_info", "Always 1: what git wants, what was applied.", "env", "scope", "kind", "commit"
        )
        self._lag = gauge("commit_lag_seconds", "Age of the oldest commit that is not applied everywhere.", "env")
        self._requests = counter("api_requests", "Answers of the targets.", "provider", "method", "code")
        self._retries = counter("api_retries", "Writes that were tried again.", "provider")
        self._limited = counter("api_rate_limited_seconds", "Time waited because a target asked for it.", "provider")
        self._cache = counter("render_cache", "Renderings found in the cache, or made.", "result")
        self._paused = gauge("paused", "1 while a scope is left alone.", "env", "scope")
        self._pause_expires = gauge("pause_expires_timestamp_seconds", "When a pause ends by itself.", "env", "scope")
        self._lost = counter("locks_lost", "Passes whose lock was not ours to the end.", "env", "scope")
        self._leader = gauge("leader", "1 while this loop holds the scope's lock.", "env", "scope")
        self._oscillating = gauge("oscillating_resources", "Healed too often: left alone.", "env", "scope")
        self._served = gauge("serving_last_good", "1 while the branch's head is not what is served.", "env", "reason")
        self._shown: dict[tuple[str, str], str] = {}

    def ended(self, scope: str, phase: str, result: str, seconds: float) -> None:
        """A phase (`fetch render observe plan apply`) of a scope ended."""
        self._runs.labels(self._env, scope, phase, result).inc()
        self._phases.labels(self._env, scope, phase).observe(seconds)

    def states(self, scope: str, counted: Mapping[str, int]) -> None:
        """Resources of a scope by state; all other states are none."""
        for state in ALL_STATES:
            self._resources.labels(self._env, scope, state).set(counted.get(state, 0))

    def outcomes(self, scope: str, done: Iterable[Outcome]) -> None:
        """What became of changes."""
        for outcome in done:
            self._changes.labels(self._env, scope, outcome.change.action.value, outcome.result.value).inc()

    def blocked(self, scope: str, counted: Mapping[str, int]) -> None:
        """Changes that a policy, a limit or their nature forbids, by which of them."""
        for reason in ("policy", "limit", "blocked", "oscillation"):
            self._blocked.labels(self._env, scope, reason).set(counted.get(reason, 0))
        self._oscillating.labels(self._env, scope).set(counted.get("oscillation", 0))

    def succeeded(self, scope: str, time_s: float) -> None:
        """A pass found or made the scope as git wants it."""
        self._success.labels(self._env, scope).set(time_s)

    def commit(self, scope: str, kind: str, sha: str) -> None:
        """The one commit of a kind (`desired`, `applied`) that a scope has now."""
        former = self._shown.get((scope, kind))
        if former == sha:
            return
        if former:
            self._commit.remove(self._env, scope, kind, former)
        if sha:
            self._commit.labels(self._env, scope, kind, sha).set(1)
        self._shown[scope, kind] = sha

    def lag(self, seconds: float) -> None:
        """0 where everything is applied."""
        self._lag.labels(self._env).set(max(0.0, seconds))

    def answer(self, provider: str, method: str, status: int) -> None:
        """A target answered a request; a listener of `providers.traffic`."""
        self._requests.labels(provider, method, str(status)).inc()

    def event(self, event: Event) -> None:
        """A listener of the engine."""
        target = event.scope.partition("/")[2]
        if event.kind in ("scope_locked", "scope_finished"):
            self._leader.labels(self._env, target).set(event.kind == "scope_locked")
        if event.kind == "scope_finished" and event.data.get("lost"):
            self._lost.labels(self._env, target).inc()
        if event.kind == "retry":
            self._retries.labels(target).inc()
            if event.data.get("asked"):
                self._limited.labels(target).inc(float(event.data["in_s"]))

    def cache(self, counted: Mapping[str, int]) -> None:
        """Renderings of one child."""
        for result, number in counted.items():
            self._cache.labels(result).inc(number)

    def paused(self, scope: str, paused: bool, expires_s: float = 0.0) -> None:
        """Whether a scope is left alone, and until when (0: until somebody resumes it)."""
        self._paused.labels(self._env, scope).set(paused)
        self._pause_expires.labels(self._env, scope).set(expires_s if paused else 0)

    def head(self, refused: str) -> None:
        """Why the branch's head is not served: `invalid`, `refused` (rewritten, unsigned), `unreachable`, or empty."""
        for reason in ("invalid", "refused", "unreachable"):
            self._served.labels(self._env, reason).set(reason == refused)
