"""The files of Prometheus and Alertmanager, written as one set and believed only when the servers run on them.

A configuration that does not load must never be what a server would find at its next start. So the whole resulting
tree is checked by promtool and amtool before a file of it is written, both servers reload, and both are asked what
they run on; if anything fails, the former content is put back and loaded again.

Every file has two owned fields: `content`, and `loaded`, which is true if the server runs on that content. A file
that is right on disk while the server has not read it, or a batch that was cut short, shows up as `loaded` false.
Target files need no reload: Prometheus watches them. Files without a mark of ours in the index are left alone.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from reconcilers.core.errors import Conflict, MlabError, Permanent, Refused, one_line
from reconcilers.core.model import Action, Change, Health, HealthState, Id, Json, Observed, Resource
from reconcilers.core.provider import Capabilities, Context, Holder, Lock
from reconcilers.fleet.model import Environment
from reconcilers.providers.monitoring import files, rules
from reconcilers.providers.monitoring import lock as locks
from reconcilers.providers.monitoring.checks import Checks
from reconcilers.providers.monitoring.servers import LIMITS, Servers
from reconcilers.providers.monitoring.state import State
from reconcilers.providers.time_limits import Limits

RULES = "prometheus/rules/"
PROOF_S = 15.0


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the servers of one environment are, the directory that they read, and the programs that check it."""

    prometheus_url: str
    alertmanager_url: str
    directory: Path
    promtool: str
    amtool: str


def settings(environment: Environment) -> Settings:
    """`targets.monitoring` of an environment."""
    target = environment.data["targets"]["monitoring"]
    return Settings(
        prometheus_url=target["prometheus_url"],
        alertmanager_url=target["alertmanager_url"],
        directory=Path(target["directory"]),
        promtool=target.get("promtool") or "promtool",
        amtool=target.get("amtool") or "amtool",
    )


class Monitoring:
    """The provider of `<environment>/monitoring`."""

    capabilities = Capabilities(max_concurrency=1, atomic_batch=True)

    def __init__(self, scope: str, settings: Settings, limits: Limits = LIMITS) -> None:
        self.scope = scope
        self._directory = settings.directory
        self._servers = Servers(settings.prometheus_url, settings.alertmanager_url, limits)
        self._checks = Checks(settings.promtool, settings.amtool)

    def observe(self, wanted: Collection[Id]) -> Iterator[Observed]:
        """Files with our mark, files with a wanted name, and what an unfinished batch was about to remove."""
        if not self._directory.is_dir():
            raise Permanent(f"{self._directory}: no such directory; create it or correct targets.monitoring.directory")
        index = files.load_index(self._directory)
        journal = files.load_journal(self._directory)
        unproved = journal.files if journal else {}
        state = self._state()
        for name in sorted(index.keys() | {files.name_of(identity) for identity in wanted}):
            content = files.read(self._directory, name)
            entry = index.get(name)
            if content is None and not (entry and unproved.get(name) is not None):
                continue
            note = ""
            if name in unproved:
                note = "an earlier batch was cut short before its proof"
            elif entry is not None and entry.sha256 != files.sha256(content):
                note = f"edited by another since it was written (commit {entry.commit[:12] or 'unknown'})"
            yield Observed(
                id=Id(files.KIND, name),
                spec={
                    "content": (content or b"").decode("utf-8", "replace"),
                    "loaded": name not in unproved and state.loaded(name),
                },
                owner=entry.mark() if entry else None,
                token=files.sha256(content),
                note=note,
            )

    def normalise(self, resource: Resource) -> Json:
        """What `observe` says once the servers run on it."""
        return {"content": resource.spec["content"], "loaded": True}

    def assess(self, change: Change) -> Change:
        """See `rules`."""
        return rules.assess(change)

    def apply(self, changes: Sequence[Change], context: Context) -> None:
        """Check the whole tree, write the set, reload, prove; put the former set back if any of it fails."""
        wanted = {files.name_of(change.id): _wanted(change) for change in changes}
        kept = {name for name, change in zip(wanted, changes, strict=True) if change.action is Action.FORGET}
        contents = {name: content for name, content in wanted.items() if name not in kept}
        self._require_observed(changes, contents)
        context.still_held()
        files.sweep(self._directory)
        with files.staged(self._directory, contents) as stage:
            self._checks.check_rules(stage, [n for n, c in contents.items() if c and n.startswith(RULES)])
            self._checks.check(stage)
        before = self._state()
        read_errors = self._servers.file_read_errors()
        context.still_held()
        context.fault("monitoring/journal/before")
        journal = files.begin(self._directory, contents)
        context.fault("monitoring/journal/after")
        try:
            self._write(changes, contents, context)
            context.fault("monitoring/reload/before")
            self._servers.reload()
            context.fault("monitoring/reload/after")
            self._prove(contents, before, read_errors)
            self._forget({n for n, content in contents.items() if content is None} | kept, context)
        except Refused:
            raise  # the lock is lost: another run may be writing, and finds the journal
        except MlabError as error:
            raise self._restored(journal, error) from error
        context.fault("monitoring/finish/before")
        files.finish(self._directory)
        context.fault("monitoring/finish/after")

    def health(self, identity: Id) -> Health:
        """Proved by `apply` itself."""
        return Health(HealthState.CURRENT)

    def lock(self, holder: Holder, ttl_s: float) -> Lock:
        """A lock file in the directory."""
        return locks.FileLock(self._directory, self.scope, holder, ttl_s)

    def unlock(self, identity: str) -> None:
        """Remove the lock file of that holder."""
        locks.remove(self._directory, self.scope, identity)

    def close(self) -> None:
        """Close the HTTP connections."""
        self._servers.close()

    def _state(self) -> State:
        return State(self._directory, self._servers, self._servers.prometheus(), self._servers.alertmanager())

    def _require_observed(self, changes: Sequence[Change], contents: files.Contents) -> None:
        """Nothing moved since the plan was made, or it moved to where we go."""
        for change in changes:
            name = change.id.name
            content = files.read(self._directory, name)
            planned = change.observed.token if change.observed else files.sha256(None)
            if files.sha256(content) != planned and content != contents.get(name, content):
                raise Conflict(f"{self._directory / name}: changed since it was observed")

    def _write(self, changes: Sequence[Change], contents: files.Contents, context: Context) -> None:
        index = files.load_index(self._directory)
        for change in changes:
            content = contents.get(change.id.name)
            if content is not None:
                mark = context.mark(change)
                index[change.id.name] = files.Entry(
                    mark.owner, mark.env, mark.scope, mark.source, mark.commit, files.sha256(content)
                )
        self._mark(index, context)
        for name, content in sorted(contents.items()):
            if files.read(self._directory, name) == content:
                continue
            context.still_held()
            context.fault(f"monitoring/{name}/before")
            files.put(self._directory, name, content)
            context.fault(f"monitoring/{name}/after")

    def _forget(self, names: Collection[str], context: Context) -> None:
        if names:
            index = files.load_index(self._directory)
            self._mark({name: entry for name, entry in index.items() if name not in names}, context)

    def _mark(self, index: files.Index, context: Context) -> None:
        if index == files.load_index(self._directory):
            return
        context.still_held()
        context.fault("monitoring/index/before")
        files.store_index(self._directory, index)
        context.fault("monitoring/index/after")

    def _prove(self, contents: files.Contents, before: State, read_errors: float) -> None:
        """Wait until both servers say that they run on what was written; what is missing then is the error."""
        deadline = time.monotonic() + PROOF_S
        while True:
            state = self._state()
            missing = state.unproved([name for name, content in contents.items() if content is not None], before)
            if not missing:
                break
            if time.monotonic() > deadline:
                raise Permanent(f"{missing} {PROOF_S:.0f} s after the reload")
            time.sleep(0.2)
        if self._servers.file_read_errors() > read_errors:
            url = self._servers.prometheus_url
            raise Permanent(f"{url}: prometheus_sd_file_read_errors_total rose: a target file is not readable")

    def _restored(self, journal: files.Journal, error: MlabError) -> MlabError:
        """Put the former files back and load them; the error says if even that did not work."""
        files.restore(self._directory, journal)
        try:
            self._servers.reload()
        except MlabError as second:
            files.finish(self._directory)
            text = f"{one_line(str(error), 400)}; the former files are back, but: {one_line(str(second), 200)}"
            return type(error)(text)
        files.finish(self._directory)
        return type(error)(f"{one_line(str(error), 400)}; the former files are back and loaded")


def _wanted(change: Change) -> bytes | None:
    if change.desired is None or change.action is Action.DELETE:
        return None
    return str(change.desired.spec["content"]).encode()
