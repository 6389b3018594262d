"""What the shared suite does not ask: a bad configuration is never live, a good one only when the servers say so."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import requests

from reconcilers.core.model import Action, Change, Id, Observed, Plan, Resource, Result, Risk
from reconcilers.providers.monitoring import files
from reconcilers.providers.monitoring.provider import Monitoring, Settings
from tests import faultproxy
from tests.conformance import suite
from tests.monitoring import servers
from tests.monitoring.test_conformance import MAIN, ROUTES, file, prometheus, routes, rules, targets

GOOD = (
    file("prometheus/rules/a.yml", rules("a", "sum(up) by (job) < 0.90")),
    file("prometheus/targets/t/one.json", targets("m1", "m2")),
    file(MAIN, prometheus("a")),
    file(ROUTES, routes("30s")),
)


def changed(name: str, content: str, base: Sequence[Resource] = GOOD) -> list[Resource]:
    return [file(name, content) if r.id.name == name else r for r in base]


@pytest.fixture
def live(pair: servers.Pair) -> Iterator[servers.Pair]:
    """Servers that run on GOOD."""
    provider = pair.provider()
    result = suite.apply(provider, GOOD)
    provider.close()
    assert [o.result for o in result.outcomes] == [Result.APPLIED] * len(GOOD), result.outcomes
    assert {o.change.action for o in result.outcomes} == {Action.CREATE, Action.ADOPT}
    yield pair


@pytest.fixture
def provider(live: servers.Pair) -> Iterator[Monitoring]:
    made = live.provider()
    yield made
    made.close()


def errors(provider: Monitoring, desired: Sequence[Resource]) -> list[str]:
    """Apply and give back the errors of the outcomes, one per distinct text."""
    result = suite.apply(provider, desired)
    assert not result.error
    return sorted({o.error for o in result.outcomes})


def fields(made: Plan) -> dict[str, list[Any]]:
    return {c.id.name: [f.path[0] for f in c.fields] for c in made.changes}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("prometheus/rules/a.yml", rules("a", "sum(up by (job)"), "promtool: prometheus/rules/a.yml: 1:"),
        ("prometheus/rules/a.yml", "groups: {}\n", "promtool: prometheus/rules/a.yml"),
        ("prometheus/targets/t/one.json", '[{"targets": [{}]}]', 'checking SD file "prometheus/targets/t/*.json"'),
        (MAIN, prometheus("a") + "scrape_config: []\n", "field scrape_config not found"),
        (MAIN, prometheus("a", "lost"), "rules/lost.yml"),
        (ROUTES, "route: {receiver: nobody}\nreceivers: [{name: r}]\n", 'amtool: undefined receiver "nobody"'),
    ],
    ids=["expression", "rule-file", "targets", "unknown-key", "missing-rule-file", "receiver"],
)
def test_what_a_checking_program_refuses_is_never_written(
    name: str, content: str, said: str, live: servers.Pair, provider: Monitoring
) -> None:
    before = live.tree()
    (error,) = errors(provider, changed(name, content))
    assert said in error
    assert ".mlab-stage" not in error and "\n" not in error
    assert live.tree() == before
    assert live.groups() == {"a"}
    assert suite.summary(suite.plan(provider, GOOD)) == []


def test_what_only_the_server_refuses_is_restored_and_the_former_is_live(
    live: servers.Pair, provider: Monitoring, tmp_path: Path
) -> None:
    # promtool of another version, or a file that exists only where it runs: it says yes, the server says no.
    yes = tmp_path / "promtool"
    yes.write_text("#!/bin/sh\nexit 0\n")
    yes.chmod(0o755)
    before = live.tree()
    blind = live.provider(promtool=str(yes))
    (error,) = errors(blind, changed("prometheus/rules/a.yml", rules("a", "sum(up by (job)")))
    blind.close()
    assert "/-/reload: the configuration is refused" in error or "could not parse" in error
    assert error.endswith("…") or "the former files are back and loaded" in error
    assert live.tree() == before
    assert live.groups() == {"a"}
    assert suite.summary(suite.plan(provider, GOOD)) == []


def test_a_reload_that_the_server_loses_is_restored_too(live: servers.Pair) -> None:
    before = live.tree()
    with faultproxy.FaultProxy(live.prometheus_url) as proxy:
        proxy.fault = faultproxy.status(503, only=lambda method, path: path.endswith("/-/reload"))
        provider = live.provider(prometheus_url=proxy.url)
        result = suite.apply(provider, changed("prometheus/rules/a.yml", rules("a", "up == 2")))
        assert {o.result for o in result.outcomes} == {Result.FAILED_TEMPORARY}
        assert live.tree() == before
        proxy.fault = None
        result = suite.apply(provider, changed("prometheus/rules/a.yml", rules("a", "up == 2")))
        provider.close()
    assert {o.result for o in result.outcomes} == {Result.APPLIED}


@pytest.mark.parametrize(
    "fault",
    [
        faultproxy.down(),
        faultproxy.status(500),
        faultproxy.status(429, headers={"Retry-After": "0"}),
        faultproxy.status(403),
        faultproxy.html(),
        faultproxy.truncated(),
    ],
    ids=["down", "500", "429", "403", "html", "truncated"],
)
def test_a_server_that_answers_badly_leaves_the_scope_incomplete(fault: faultproxy.Fault, live: servers.Pair) -> None:
    with faultproxy.FaultProxy(live.prometheus_url) as proxy:
        proxy.fault = fault
        provider = live.provider(prometheus_url=proxy.url)
        made = suite.plan(provider, GOOD)
        provider.close()
    assert not made.complete and not made.changes
    (problem,) = made.problems
    assert proxy.url in problem and len(problem) < 500


def test_a_file_that_is_right_on_disk_but_not_loaded_is_drift(live: servers.Pair, provider: Monitoring) -> None:
    path = live.directory / "prometheus/rules/a.yml"
    good = path.read_text()
    path.write_text(rules("a", "up == 2"))
    live.reload()
    path.write_text(good)  # as a person would who forgets the reload
    assert fields(suite.plan(provider, GOOD)) == {"prometheus/rules/a.yml": ["loaded"]}
    assert errors(provider, GOOD) == [""]
    assert suite.summary(suite.plan(provider, GOOD)) == []


def test_an_alertmanager_that_did_not_reload_is_drift(live: servers.Pair, provider: Monitoring) -> None:
    path = live.directory / ROUTES
    good = path.read_text()
    path.write_text(routes("5m"))
    live.reload()
    path.write_text(good)
    assert fields(suite.plan(provider, GOOD)) == {ROUTES: ["loaded"]}
    assert errors(provider, GOOD) == [""]
    answer = requests.get(f"{live.alertmanager_url}/api/v2/status", timeout=60).json()
    assert "group_wait: 30s" in answer["config"]["original"]


def test_a_failed_reload_by_hand_is_drift_and_healed(live: servers.Pair, provider: Monitoring) -> None:
    path = live.directory / MAIN
    path.write_text(path.read_text() + "nonsense: true\n")
    assert requests.post(f"{live.prometheus_url}/-/reload", timeout=30).status_code == 500
    assert fields(suite.plan(provider, GOOD))[MAIN] == ["content", "loaded"]
    assert errors(provider, GOOD) == [""]
    assert suite.summary(suite.plan(provider, GOOD)) == []


def test_an_edit_by_hand_is_noted_with_the_commit_that_it_changed(live: servers.Pair, provider: Monitoring) -> None:
    (live.directory / "prometheus/targets/t/one.json").write_text("[]")
    (found,) = [o for o in provider.observe(()) if o.id.name == "prometheus/targets/t/one.json"]
    assert "edited by another since it was written (commit c0ffee0)" in found.note


@pytest.mark.parametrize("program", ["promtool", "amtool"])
def test_without_a_checking_program_nothing_is_written(program: str, live: servers.Pair) -> None:
    before = live.tree()
    provider = live.provider(**{program: "/nowhere/" + program})
    (error,) = errors(provider, changed(ROUTES, routes("2m")))
    provider.close()
    assert error.startswith(f"/nowhere/{program}: no such program")
    assert f"targets.monitoring.{program}" in error
    assert live.tree() == before


def test_the_mark_of_each_file_says_who_wrote_it_from_which_commit(live: servers.Pair) -> None:
    index = json.loads((live.directory / files.INDEX).read_text())
    assert set(index["files"]) == {r.id.name for r in GOOD}
    entry = index["files"]["prometheus/rules/a.yml"]
    assert (entry["owner"], entry["env"], entry["scope"]) == ("mlab", "sandbox", servers.SCOPE)
    assert entry["commit"] == "c0ffee0"
    assert entry["source"].startswith("config/alerts/x.yaml")
    assert entry["sha256"] == files.sha256((live.directory / "prometheus/rules/a.yml").read_bytes())


def test_nothing_of_a_batch_is_left_beside_the_files(live: servers.Pair) -> None:
    assert set(live.tree()) == {files.INDEX, *(r.id.name for r in GOOD)}


def test_a_crash_before_the_proof_is_seen_although_every_file_is_right(live: servers.Pair) -> None:
    desired = changed("prometheus/rules/a.yml", rules("a", "up == 3"))

    def fault(point: str) -> None:
        if point == "monitoring/reload/before":
            raise suite.Crash(point)

    first = live.provider()
    with pytest.raises(suite.Crash):
        suite.apply(first, desired, chosen=suite.options(fault=fault))
    first.unlock(suite.holder().identity)
    assert fields(suite.plan(first, desired)) == {"prometheus/rules/a.yml": ["loaded"]}
    assert errors(first, desired) == [""]
    first.close()
    assert files.JOURNAL not in live.tree()


def test_a_batch_that_fails_after_a_crash_goes_back_to_what_was_proved_last(live: servers.Pair) -> None:
    before = live.tree()

    def fault(point: str) -> None:
        if point == "monitoring/reload/before":
            raise suite.Crash(point)

    provider = live.provider()
    with pytest.raises(suite.Crash):
        suite.apply(
            provider,
            changed("prometheus/rules/a.yml", rules("a", "up == 3")),
            chosen=suite.options(fault=fault),
        )
    provider.unlock(suite.holder().identity)
    provider.close()
    with faultproxy.FaultProxy(live.prometheus_url) as proxy:
        proxy.fault = faultproxy.status(403, only=lambda method, path: path.endswith("/-/reload"))
        provider = live.provider(prometheus_url=proxy.url)
        (error,) = errors(provider, changed("prometheus/rules/a.yml", rules("a", "up == 4")))
        provider.close()
    assert "HTTP 403" in error
    assert live.tree() == before


@pytest.mark.parametrize("name", ["prometheus/../../etc/passwd", "prometheus/.hidden", "/etc/passwd", "other/x.yml"])
def test_a_name_that_could_leave_the_directory_is_refused(name: str, live: servers.Pair, provider: Monitoring) -> None:
    made = suite.plan(provider, [*GOOD, file(name, "x")])
    assert not made.complete
    assert "not a file of this target" in made.problems[0]


def test_a_missing_directory_is_one_clear_line(pair: servers.Pair, tmp_path: Path) -> None:
    provider = Monitoring(servers.SCOPE, dataclasses.replace(pair.settings(), directory=tmp_path / "absent"))
    made = suite.plan(provider, GOOD)
    provider.close()
    assert (
        f"{tmp_path}/absent: no such directory; create it or correct targets.monitoring.directory" in made.problems[0]
    )


@pytest.mark.parametrize(
    ("before", "after", "risk"),
    [
        (100, 90, Risk.SAFE),
        (100, 89, Risk.DESTRUCTIVE),
        (100, 0, Risk.DESTRUCTIVE),
        (5, 4, Risk.DESTRUCTIVE),
        (0, 5, Risk.SAFE),
        (4, 9, Risk.SAFE),
    ],
)
def test_a_target_file_that_loses_more_than_a_tenth_is_a_destructive_change(
    before: int, after: int, risk: Risk, tmp_path: Path
) -> None:
    name = "prometheus/targets/t/one.json"
    hosts = [f"m{number}" for number in range(200)]
    desired = file(name, targets(*hosts[:after]))
    observed = Observed(Id("File", name), {"content": targets(*hosts[:before]), "loaded": True}, None)
    provider = Monitoring(servers.SCOPE, _nowhere(tmp_path))
    judged = provider.assess(Change(Action.UPDATE, desired.id, desired, observed))
    provider.close()
    assert judged.risk is risk
    assert ("targets go" in judged.reason) == (risk is Risk.DESTRUCTIVE)


def _nowhere(tmp_path: Path) -> Settings:
    return Settings("http://127.0.0.1:1", "http://127.0.0.1:1", tmp_path, "promtool", "amtool")
