"""Who is told of what, by real amtool: a check of the syntax alone once let alerts go nowhere for months."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from reconcilers.fleet.model import Fleet
from services.local import programs


@pytest.fixture
def files(rendered: dict[str, dict[str, str]], fleet: Fleet, tmp_path: Path) -> dict[str, Path]:
    """alertmanager.yml of each project."""
    made = {}
    for name, environment in fleet.environments.items():
        made[environment.project] = tmp_path / f"{name}.yml"
        made[environment.project].write_text(rendered[name]["alertmanager/alertmanager.yml"])
    return made


def _amtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(programs.path("amtool")), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def _receivers(file: Path, labels: dict[str, str]) -> list[str]:
    done = _amtool("config", "routes", "test", f"--config.file={file}", *(f"{k}={v}" for k, v in labels.items()))
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().split(",")


def test_the_configuration_of_each_environment_is_valid(files: dict[str, Path]) -> None:
    for file in files.values():
        done = _amtool("check-config", str(file))
        assert done.returncode == 0, done.stdout + done.stderr


def test_each_row_of_the_routing_table_holds(fleet: Fleet, files: dict[str, Path]) -> None:
    assert fleet.routing is not None
    rows = fleet.routing.data["tests"]
    assert len(rows) >= 9
    for row in rows:
        assert _receivers(files[row["project"]], row["labels"]) == row["receivers"], row


def test_every_alert_but_an_fyi_becomes_an_issue(
    fleet: Fleet, files: dict[str, Path], rendered: dict[str, dict[str, str]]
) -> None:
    kinds = {}
    for name, text in rendered["production"].items():
        if "/rules/" in name:
            for rule in yaml.safe_load(text)["groups"][0]["rules"]:
                if rule.get("labels", {}).get("severity") in ("page", "ticket"):
                    kinds[tuple(sorted(rule["labels"].items()))] = {"alertname": rule["alert"], **rule["labels"]}
    assert len(kinds) >= 4
    for project, file in files.items():
        for labels in kinds.values():
            found = _receivers(file, labels)
            assert "issues" in found, (project, labels)
            assert ("pager" in found) == (labels.get("page_project") == project), (project, labels)


def test_inhibitions_demand_on_both_sides_what_they_compare(rendered: dict[str, dict[str, str]]) -> None:
    # Alertmanager takes two absent labels for equal: one page would silence every ticket.
    config = yaml.safe_load(rendered["production"]["alertmanager/alertmanager.yml"])
    assert config["inhibit_rules"]
    for rule in config["inhibit_rules"]:
        for label in rule["equal"]:
            for side in ("source_matchers", "target_matchers"):
                assert f'{label}=~".+"' in rule[side], rule


def test_inhibitions_and_routes_name_alerts_that_exist(rendered: dict[str, dict[str, str]]) -> None:
    known = {
        rule.get("alert")
        for name, text in rendered["production"].items()
        if "/rules/" in name
        for rule in yaml.safe_load(text)["groups"][0]["rules"]
    }
    config = yaml.safe_load(rendered["production"]["alertmanager/alertmanager.yml"])
    matchers = [m for rule in config["inhibit_rules"] for m in rule["source_matchers"] + rule["target_matchers"]]
    matchers += [m for route in config["route"]["routes"] for m in route.get("matchers", [])]
    named = {m.partition('="')[2].rstrip('"') for m in matchers if m.startswith('alertname="')}
    assert named and named <= known


def test_on_one_machine_every_receiver_is_a_webhook_on_loopback(
    rendered_embedded: dict[str, dict[str, str]],
) -> None:
    for files in rendered_embedded.values():
        config = yaml.safe_load(files["alertmanager/alertmanager.yml"])
        for receiver in config["receivers"]:
            if receiver["name"] == "none":
                assert receiver == {"name": "none"}
                continue
            assert set(receiver) == {"name", "webhook_configs"}
            (webhook,) = receiver["webhook_configs"]
            assert webhook["url"] == f"http://127.0.0.1:9081/{receiver['name']}"
            assert set(webhook) == {"url", "send_resolved"}
