"""The loop itself: fetches the branch, renders its head in a child, and gives it to scopes that run side by side.

Each scope has a thread: one slow target delays no other. A commit that does not validate, is not signed, or does not
contain the one that is served, is not served; the last good one goes on being reconciled. Nothing is queued: a pass
looks at the newest commit and at the target as they are then.
"""

from __future__ import annotations

import fnmatch
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from reconcilers.core.errors import ConfigError, MlabError, Refused
from reconcilers.fleet import permissions
from reconcilers.loop import notices, rendering, source, web
from reconcilers.loop.metrics import Metrics
from reconcilers.loop.scope import Scope, State, Surroundings
from reconcilers.loop.wanted import Wanted
from reconcilers.providers import targets, traffic

JITTER = 0.1


@dataclass(frozen=True, slots=True)
class Settings:
    """How a loop runs. Intervals in seconds; `secret` of the hook, empty for none; `once`: one pass, then end."""

    env: str
    state: Path
    git: source.Settings
    targets: tuple[str, ...] = ("*",)
    overlays: tuple[Path, ...] = ()
    git_interval_s: float = 60.0
    interval_s: float = 60.0
    host: str = "127.0.0.1"
    port: int = 8080
    secret: bytes = b""
    limits: rendering.Limits = field(default_factory=rendering.Limits)
    fault: Callable[[str], None] = lambda point: None


class Loop:
    """One environment's loop; `run` returns after `stop`."""

    def __init__(self, settings: Settings, say: Callable[[str], None]) -> None:
        self.settings = settings
        self.metrics = Metrics(settings.env)
        self._say = say
        self._source = source.Source(settings.git, settings.state / "loop" / "clone")
        self._renderer = rendering.Renderer(self._source, settings.env, settings.overlays, settings.limits)
        self._rendering = threading.Lock()
        self._stopped = threading.Event()
        self._fetch_now = threading.Event()
        self._fetch_now.set()
        self._wanted: Wanted | None = None
        self._head = source.Head("", 0)
        self._refusal: tuple[str, str] = ("", "")
        self._scopes: dict[str, Scope] = {}
        self._threads: list[threading.Thread] = []
        self._beat = time.monotonic()
        self._changed = {name: threading.Event() for name in targets.NAMES}
        self._notices = notices.Notices(settings.env, settings.state / "loop" / f"notices-{settings.env}.json")
        self._server = web.Server(
            web.application(
                web.Answers(
                    self.alive, self.ready, self.status, self.metrics.registry, self._fetch_now.set, settings.secret
                )
            ),
            settings.host,
            settings.port,
        )

    @property
    def address(self) -> str:
        """Where it answers."""
        return self._server.address

    def run(self) -> None:
        """Until `stop`."""
        traffic.listen(self.metrics.answer)
        self._server.start()
        self._say(f"loop of {self.settings.env}: http://{self.address}/status")
        try:
            next_fetch = time.monotonic()
            while not self._stopped.is_set():
                self._beat = time.monotonic()
                if self._fetch_now.is_set() or time.monotonic() >= next_fetch:
                    self._fetch_now.clear()  # before the fetch: a hook that comes during it asks for another
                    self._follow()
                    next_fetch = time.monotonic() + _jittered(self.settings.git_interval_s)
                self._tell()
                self._fetch_now.wait(min(1.0, max(0.0, next_fetch - time.monotonic())))
        finally:
            self._stopped.set()
            for event in self._changed.values():
                event.set()
            for thread in self._threads:
                thread.join(60)
            self._tell()
            self._server.stop()
            self._source.close()
            traffic.listen(None)

    def stop(self) -> None:
        """End after the writes in flight; no other is started."""
        self._stopped.set()
        self._fetch_now.set()

    def alive(self) -> str:
        """Empty while the main thread and every scope's thread run."""
        idle_s = time.monotonic() - self._beat
        limit_s = self.settings.limits.wall_s + self.settings.git.timeout_s + 30
        if idle_s > limit_s:
            return f"the main thread has not moved for {idle_s:.0f} s"
        dead = [thread.name for thread in self._threads if not thread.is_alive()]
        return f"ended: {', '.join(dead)}" if dead and not self._stopped.is_set() else ""

    def ready(self) -> str:
        """Empty once each scope was observed."""
        if self._wanted is None:
            return f"no commit is served yet: {self._refusal[1] or 'fetching'}"
        missing = [scope.name for scope in self._scopes.values() if not scope.state.observed]
        return f"not observed yet: {', '.join(missing)}" if missing else ""

    def status(self) -> Mapping[str, Any]:
        """The JSON of `/status`."""
        return {
            "env": self.settings.env,
            "branch": self.settings.git.branch,
            "head": self._head.sha,
            "serving": self._wanted.sha if self._wanted else "",
            "refused": self._refusal[1],
            "scopes": {name: asdict(scope.state) for name, scope in sorted(self._scopes.items())},
        }

    def _follow(self) -> None:
        """Fetch, and serve the head if it may be served."""
        began = time.monotonic()
        try:
            head = self._source.fetch()
        except MlabError as error:
            self.metrics.ended("", "fetch", "failed", time.monotonic() - began)
            self._refuse("unreachable", str(error))
            if self._wanted is None:  # after a restart the last good commit is as good as it was
                self._serve(self._source.served())
            return
        self.metrics.ended("", "fetch", "ok", time.monotonic() - began)
        self._head = head
        serving = self._wanted.sha if self._wanted else self._source.served()
        if self._wanted is not None and head.sha == serving:
            self._refuse("", "")
        else:
            try:
                self._source.check(head, serving)
            except MlabError as error:
                self._refuse("refused" if isinstance(error, Refused) else "unreachable", str(error))
                if self._wanted is None:
                    self._serve(serving)
            else:
                if self._serve(head.sha):
                    self._refuse("", "")
                elif self._wanted is None and serving != head.sha:
                    self._serve(serving)
        self._lag()

    def _serve(self, sha: str) -> bool:
        if not sha:
            return False
        began = time.monotonic()
        try:
            with self._rendering:
                wanted = self._renderer.at(sha)
        except MlabError as error:
            self.metrics.ended("", "render", "failed", time.monotonic() - began)
            self._refuse("invalid" if isinstance(error, ConfigError) else "unreachable", str(error))
            return False
        self.metrics.ended("", "render", "ok", time.monotonic() - began)
        self.metrics.cache(wanted.cache)
        self._source.check_out(sha)
        self._wanted = wanted
        self._say(f"serving {sha[:7]}")
        self._start(wanted)
        for event in self._changed.values():
            event.set()
        return True

    def _start(self, wanted: Wanted) -> None:
        for target in wanted.desired:
            chosen = any(fnmatch.fnmatchcase(target, glob) for glob in self.settings.targets)
            if target in self._scopes or not chosen:
                continue
            scope = Scope(self.settings.env, target, self._surroundings())
            self._scopes[target] = scope
            thread = threading.Thread(target=self._keep, args=(target, scope), name=scope.name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def _keep(self, target: str, scope: Scope) -> None:
        """One scope's thread: a pass each interval, and one at once when another commit is served."""
        changed = self._changed[target]
        while not self._stopped.is_set():
            changed.clear()
            wanted = self._wanted
            assert wanted is not None
            before = (scope.state.state, scope.state.error)
            state = scope.once(wanted)
            if (state.state, state.error) != before:
                self._say(f"{scope.name}: {state.state}{': ' + state.error if state.error else ''}")
            changed.wait(_jittered(self.settings.interval_s))
        scope.close()

    def _surroundings(self) -> Surroundings:
        return Surroundings(
            metrics=self.metrics,
            state=self.settings.state,
            rendered_at=self._rendered_at,
            source=self._source,
            stopped=self._stopped,
            fault=self.settings.fault,
            say=self._say,
            fetch=self._fetch_now.set,
        )

    def _rendered_at(self, sha: str) -> Wanted | None:
        try:
            with self._rendering:
                return self._renderer.at(sha)
        except (MlabError, ValueError):
            return None

    def _refuse(self, reason: str, why: str) -> None:
        if why and why != self._refusal[1]:
            self._say(why)
        self._refusal = (reason, why)
        self.metrics.head(reason)

    def _lag(self) -> None:
        """Time since the oldest commit that some scope does not run yet."""
        if not self._head.sha:
            return
        oldest = [self._source.oldest_after(scope.state.applied, self._head.sha) for scope in self._scopes.values()]
        known = [time_s for time_s in oldest if time_s is not None]
        self.metrics.lag(time.time() - min(known) if known else 0.0)

    def _tell(self) -> None:
        """Notices of what changed since the last look."""
        states = [scope.state for scope in list(self._scopes.values()) if scope.state.finished]
        reason, why = self._refusal
        stamp = datetime.now(UTC).isoformat(timespec="seconds")
        branch = State(f"{self.settings.env}/git", "failed" if reason else "in_sync", self._head.sha, error=why)
        states.append(replace(branch, finished=stamp))
        self._notices.take(states)
        channels = permissions.channels(self._wanted.environment) if self._wanted else ()
        if problem := self._notices.deliver(channels):
            self._complain(problem)

    def _complain(self, problem: str) -> None:
        if problem != getattr(self, "_complained", ""):
            self._say(f"notices: {problem}")
        self._complained = problem


def _jittered(seconds: float) -> float:
    return seconds * random.uniform(1 - JITTER, 1 + JITTER)
