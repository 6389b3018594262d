"""One action from its URL to its report, and its repetition until it holds.

    ask (POST) -> chain (GET) … -> vars -> files -> env -> commands -> report

A try that fails is reported as `error: …` and repeated with growing waits until `retry_for_s` is over; files that are
verified by their hash stay meanwhile. The client itself never restarts the machine: commands of a document may, and
whoever started the client decides by its exit status.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from node.boot import backoff, cmdline, commands, document, download, evaluate, redact, report, transfer
from node.boot.errors import BadDocument, BootError, Refused, Temporary, Usage
from node.boot.journal import Journal
from node.boot.times import VARIABLE, Times

DONE, FAILED, USAGE, OVER = 0, 1, 2, 3
"""Exit statuses: it holds · given up · a flag or the command line is wrong · the server takes this boot no more."""
MAX_CHAIN = 10
MAX_REFUSALS = 3
"""So many refusals of the stage's own URL in a row mean that the boot is over."""
_FORM = "application/x-www-form-urlencoded"
_REPORT_TRIES = 4


class Options(NamedTuple):
    """What the flags say. Waits are here so that tests need not wait."""

    cmdline: Path = Path("/proc/cmdline")
    action: str = "epoxy.stage2"
    report: str = "epoxy.report"
    add_kargs: bool = False
    dry_run: bool = False
    retry: bool = True
    retry_for_s: float = 6 * 3600.0
    ca_file: Path | None = None
    waits: backoff.Waits = backoff.BETWEEN_RUNS


class _Run:
    """State of one run of the client: its command line, log, files, and what was evaluated last."""

    def __init__(self, options: Options, kargs: Mapping[str, str], journal: Journal, net: transfer.Network) -> None:
        self.options = options
        self.kargs = dict(kargs)
        self.journal = journal
        self.net = net
        self.times = Times()
        self.config: Mapping[str, Any] = {}


def run(options: Options, *, pause: Callable[[float], None] = time.sleep) -> int:
    """Do the action until it holds. Gives an exit status; raises nothing for bad input of any kind."""
    try:
        kargs = cmdline.parse(options.cmdline.read_text(errors="replace"))
        net = transfer.network(options.ca_file)
    except (OSError, Usage) as error:
        print(f"epoxy_client: {error}", file=sys.stderr)
        return USAGE
    journal = Journal(redact.redactor(redact.secrets(kargs)))
    if not kargs.get(options.action):
        journal.line(f"{options.cmdline}: Action URL key not found: {options.action}")
        return USAGE
    folder = Path(tempfile.mkdtemp(prefix="epoxy-"))
    try:
        return _repeat(options, kargs, journal, net, download.Shelf(folder), pause)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _repeat(
    options: Options,
    kargs: Mapping[str, str],
    journal: Journal,
    net: transfer.Network,
    shelf: download.Shelf,
    pause: Callable[[float], None],
) -> int:
    end = time.monotonic() + options.retry_for_s
    refusals = failures = 0
    while True:
        state = _Run(options, kargs, journal, net)
        try:
            _action(state, shelf, pause)
        except Exception as caught:
            # Nobody is there to start it again: what should not happen is reported and repeated like the rest.
            error = caught if isinstance(caught, BootError) else _unexpected(caught, journal)
            failures += 1
            refusals = refusals + 1 if isinstance(error, _NotThisBoot) else 0
            journal.line(f"error: {error}")
            wait = backoff.wait_s(options.waits, failures, getattr(error, "retry_after_s", None))
            if options.dry_run:
                return FAILED
            _report(state, f"error: {journal.clean(str(error))}", pause, tries=1)
            if refusals >= MAX_REFUSALS:
                journal.line("the server takes this boot no more: the machine has to start again from stage 1")
                return OVER
            if not options.retry or time.monotonic() + wait > end:
                journal.line("given up")
                return FAILED
            shelf.forget_unverified()
            journal.line(f"try {failures + 1} in {wait:.1f} s")
            pause(wait)
            continue
        if not options.dry_run:
            _report(state, report.SUCCESS, pause, tries=_REPORT_TRIES)
        return DONE


def _unexpected(error: Exception, journal: Journal) -> BootError:
    for line in "".join(traceback.format_exception(error)).splitlines():
        journal.line(line)
    return BootError(f"unexpected: {type(error).__name__}: {error}")


class _NotThisBoot(BootError):
    """The stage's own URL was refused."""


def _action(state: _Run, shelf: download.Shelf, pause: Callable[[float], None]) -> None:
    """One try. Raises `BootError`."""
    doc = _document(state)
    kargs, say = state.kargs, state.journal.line
    with state.times.part("evaluate"):
        made = evaluate.variables(doc, kargs)
        wanted = evaluate.files(doc, kargs, made)
        # Env and commands are evaluated before anything is fetched: a document with a mistake costs no download.
        names = evaluate.data(made, wanted, lambda one: str(shelf.path(one)))
        env = evaluate.environment(doc, kargs, names)
        todo = evaluate.commands(doc, kargs, names)
    state.config = evaluate.evaluated(kargs, names, env, todo)
    if state.options.dry_run:
        sys.stdout.write(redact.document(state.config, state.journal.clean) + "\n")
        return
    with state.times.part("files"):
        for one in wanted:
            shelf.download(one).fetch(state.net, say, pause)
    notes = shelf.folder / "times"
    try:
        with state.times.part("commands"):
            commands.run(todo, {**env, VARIABLE: str(notes)}, say)
    finally:
        state.times.read(notes)
        notes.unlink(missing_ok=True)


def _document(state: _Run) -> document.Document:
    """The document that the action and its chain lead to; kargs of the first one join the command line if wished."""
    url = state.kargs[state.options.action]
    state.journal.line(f"{state.options.action}: {url}")
    with state.times.part("ask"):
        doc = document.parse(_ask(url, state.net), url)
    if state.options.add_kargs:
        state.kargs = cmdline.merged(state.kargs, doc.kargs)
        state.journal.clean = redact.redactor(redact.secrets(state.kargs))
    seen = {url}
    while doc.chain:
        url = doc.chain
        if url in seen or len(seen) > MAX_CHAIN:
            why = "leads back to itself" if url in seen else f"is longer than {MAX_CHAIN} documents"
            raise BadDocument(f"{url}: the chain {why}")
        seen.add(url)
        state.journal.line(f"chain: {url}")
        with state.times.part("chain"):
            body = _fetched(url, state.net)
        got = hashlib.sha256(body).hexdigest()
        if doc.chain_sha256 and got != doc.chain_sha256:
            raise BadDocument(f"{url}: checksum mismatch: sha256 is {got}, the chain says {doc.chain_sha256}")
        doc = document.parse(body, url)
    return doc


def _ask(url: str, net: transfer.Network) -> bytes:
    if url.startswith("file:"):
        return _local(url)
    try:
        return transfer.post(url, b"", net, content_type=_FORM).body
    except Refused as error:
        raise _NotThisBoot(str(error)) from None


def _fetched(url: str, net: transfer.Network) -> bytes:
    return _local(url) if url.startswith("file:") else transfer.get(url, net).body


def _local(url: str) -> bytes:
    try:
        with transfer.local_path(url).open("rb") as file:
            return file.read(document.MAX_BYTES + 1)
    except OSError as error:
        raise BadDocument(f"{url}: cannot be read: {error.strerror}") from None


def _report(state: _Run, message: str, pause: Callable[[float], None], *, tries: int) -> None:
    """Tell the server. That this fails is said, and changes nothing about the action."""
    clean = state.journal.clean
    config = redact.document(state.config, clean) if state.config else ""
    for failures in range(1, tries + 1):
        form = report.body(message, config, json.dumps(state.times.json()), state.journal.tail())
        try:
            state.journal.line(report.send(state.kargs, state.options.report, form, state.net))
            return
        except Temporary as error:
            state.journal.line(f"report: {error}")
            if failures < tries:
                pause(backoff.wait_s(backoff.BETWEEN_REQUESTS, failures, error.retry_after_s))
        except BootError as error:
            state.journal.line(f"report: {error}")
            return
