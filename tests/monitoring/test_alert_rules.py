"""Every alert, by real promtool: its syntax, its lint, and its own tests."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from reconcilers.fleet.model import Fleet
from services.local import programs
from tests.fleets import CHECKOUT
from tests.monitoring import alert_cases

GROUPS = sorted(path.stem for path in (CHECKOUT / "config/alerts").glob("*.yaml") if path.stem != "routing")


def _promtool(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(programs.path("promtool")), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240, check=False)


def _write(folder: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)


@pytest.mark.parametrize("name", GROUPS)
def test_each_alert_fires_and_is_quiet_as_its_tests_say(
    name: str, fleet: Fleet, rendered: dict[str, dict[str, str]], tmp_path: Path
) -> None:
    text = rendered["production"][f"prometheus/rules/{name}.yml"]
    files = alert_cases.files(fleet.alerts[name].data, yaml.safe_load(text))
    _write(tmp_path, {file: yaml.safe_dump(content, sort_keys=False) for file, content in files.items()})
    done = _promtool(tmp_path, "test", "rules", *(file for file in files if file.endswith(".test.yml")))
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]


def test_every_alert_has_a_firing_case_and_every_one_that_can_be_quiet_a_quiet_one(fleet: Fleet) -> None:
    for group in fleet.alerts.values():
        for alert in group.data["alerts"]:
            seen = {test["fires"] for test in alert["tests"]}
            wanted = {True} if alert["alert"] == "Watchdog" else {True, False}
            assert seen == wanted, f"{group.span.file}: {alert['alert']}"


@pytest.mark.parametrize("environment", ["sandbox", "staging", "production"])
def test_rules_pass_every_lint_of_promtool(
    environment: str, rendered: dict[str, dict[str, str]], tmp_path: Path
) -> None:
    files = {name: text for name, text in rendered[environment].items() if "/rules/" in name}
    assert len(files) == len(GROUPS)
    _write(tmp_path, files)
    done = _promtool(tmp_path, "check", "rules", "--lint=all", "--lint-fatal", *files)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_firing_case_with_a_wrong_label_is_noticed(
    fleet: Fleet, rendered: dict[str, dict[str, str]], tmp_path: Path
) -> None:
    # The generator itself must be able to fail.
    text = rendered["production"]["prometheus/rules/sites.yml"]
    files = alert_cases.files(fleet.alerts["sites"].data, yaml.safe_load(text))
    cases = files["SwitchUnpingableAtSite.1m.test.yml"]
    cases["tests"][0]["alert_rule_test"][0]["exp_alerts"][0]["exp_labels"]["site"] = "xyz01"
    _write(tmp_path, {file: yaml.safe_dump(content) for file, content in files.items()})
    assert _promtool(tmp_path, "test", "rules", "SwitchUnpingableAtSite.1m.test.yml").returncode == 1


def test_the_label_contract_holds_for_every_alert(rendered: dict[str, dict[str, str]]) -> None:
    names = []
    for name, text in rendered["production"].items():
        if "/rules/" not in name:
            continue
        for rule in yaml.safe_load(text)["groups"][0]["rules"]:
            if "alert" not in rule:
                continue
            names.append(rule["alert"])
            labels = rule["labels"]
            assert labels["cluster"] in ("platform", "prometheus-federation")
            assert labels["severity"] in ("page", "ticket", "fyi")
            assert ("repo" in labels) == (labels["severity"] != "fyi")
            assert ("page_project" in labels) == (labels["severity"] == "page")
            assert ("fyi_project" in labels) == (labels["severity"] == "fyi")
            assert rule["annotations"]["summary"] and rule["annotations"]["runbook"]
            assert not re.search(r"\$value|\{\{(?! *\$labels\.\w+ *\}\})", str(rule["annotations"]))
    assert len(names) == len(set(names)) >= 40
