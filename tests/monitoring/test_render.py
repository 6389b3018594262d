from __future__ import annotations

import dataclasses
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconcilers.core.errors import ConfigError
from reconcilers.fleet.model import Environment, Fleet
from reconcilers.load import fleet as loading
from reconcilers.load.jsonnet import Engine
from reconcilers.render import monitoring
from services.local import programs
from tests.fleets import CHECKOUT

JOBS = {
    "alertmanager",
    "blackbox-exporter-ipv4",
    "blackbox-exporter-ipv6",
    "blackbox-targets",
    "blackbox-targets-ipv6",
    "bmc-targets",
    "epoxy-boot-api",
    "epoxy-extension-server",
    "github-maintenance-exporter",
    "kubernetes-apiservers",
    "kubernetes-etcd",
    "kubernetes-nodes",
    "kubernetes-pods",
    "kubernetes-service-endpoints",
    "nginx-proxied-services",
    "prometheus",
    "proxied-workloads",
    "script-targets",
    "switch-monitoring-targets",
}
MAIN = "prometheus/prometheus.yml"
ENVIRONMENTS = ["sandbox", "staging", "production"]


def jobs(files: dict[str, str]) -> dict[str, dict[str, Any]]:
    return {job["job_name"]: job for job in yaml.safe_load(files[MAIN])["scrape_configs"]}


def relabelled(job: dict[str, Any], label: str) -> Any:
    """The constant that a job writes into a label last."""
    return [r["replacement"] for r in job["relabel_configs"] if r.get("target_label") == label][-1]


def promtool(folder: Path, *arguments: str) -> None:
    command = [str(programs.path("promtool")), "check", "config", *arguments, MAIN]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def write(folder: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_job_of_the_embedded_platform_goes_through_the_proxy_in_clear_text(
    environment: str, rendered_embedded: dict[str, dict[str, str]]
) -> None:
    found = jobs(rendered_embedded[environment])
    assert set(found) == JOBS
    for name, job in found.items():
        assert job["proxy_url"] == "http://127.0.0.1:9080", name
        assert job["scheme"] == "http", name
        assert job["relabel_configs"][-1] == {"target_label": "__scheme__", "replacement": "http"}, name
        for secret in ("tls_config", "authorization", "basic_auth"):
            assert secret not in job, name
        for discovery in job.get("kubernetes_sd_configs", []):
            assert discovery["kubeconfig_file"] == "/run/mlab/admin.kubeconfig", name


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_without_an_overlay_nothing_of_the_embedded_platform_remains(
    environment: str, rendered: dict[str, dict[str, str]]
) -> None:
    found = jobs(rendered[environment])
    assert set(found) == JOBS
    for name, job in found.items():
        assert "proxy_url" not in job, name
        for discovery in job.get("kubernetes_sd_configs", []):
            assert set(discovery) == {"role"}, name
    everything = "".join(rendered[environment].values())
    assert "127.0.0.1" not in everything
    for name in ("kubernetes-apiservers", "kubernetes-nodes", "proxied-workloads", "bmc-targets"):
        assert found[name]["scheme"] == "https"


def test_secrets_are_files_and_never_values(rendered: dict[str, dict[str, str]]) -> None:
    def walk(value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                assert key not in ("password", "credentials", "bearer_token", "routing_key", "service_key", "api_url")
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    for files in rendered.values():
        for name in (MAIN, "alertmanager/alertmanager.yml"):
            walk(yaml.safe_load(files[name]))


@pytest.mark.parametrize(
    ("job", "path", "timeout", "address"),
    [
        ("blackbox-targets", "/probe", "10s", "blackbox-service.default.svc.cluster.local:9115"),
        ("blackbox-targets-ipv6", "/probe", "10s", "blackbox-exporter-ipv6.mlab-oti.measurement-lab.test:9115"),
        ("script-targets", "/probe", "50s", "script-exporter.default.svc.cluster.local:9172"),
        ("bmc-targets", "/v1/e2e", "60s", "reboot.mlab-oti.measurement-lab.test:443"),
        (
            "switch-monitoring-targets",
            "/v1/check",
            "40s",
            "switch-monitoring-service.default.svc.cluster.local:8080",
        ),
    ],
)
def test_a_probe_job_asks_its_exporter_about_the_targets_of_its_directory(
    job: str, path: str, timeout: str, address: str, rendered: dict[str, dict[str, str]]
) -> None:
    found = jobs(rendered["production"])[job]
    assert found["metrics_path"] == path
    assert found["scrape_timeout"] == timeout
    assert found["file_sd_configs"] == [{"files": [f"targets/{job}/*.json"], "refresh_interval": "5m"}]
    assert relabelled(found, "__address__") == address
    assert any(name.startswith(f"prometheus/targets/{job}/") for name in rendered["production"])


@pytest.mark.parametrize(
    ("port_name", "annotated", "kept"),
    [
        ("", "", True),
        ("metrics", "", True),
        ("m9990", "", True),
        ("http", "", False),
        ("https", "", False),
        ("ndt5-tls", "", False),
        ("http", "9393", True),
    ],
)
def test_a_port_that_serves_clients_is_not_scraped_unless_the_pod_names_it(
    port_name: str, annotated: str, kept: bool, rendered: dict[str, dict[str, str]]
) -> None:
    for job in ("kubernetes-pods", "proxied-workloads"):
        first = "__meta_kubernetes_pod_container_port_name"
        rules = jobs(rendered["production"])[job]["relabel_configs"]
        (rule,) = [r for r in rules if r.get("source_labels", [""])[0] == first]
        assert bool(re.fullmatch(rule["regex"], f"{port_name};{annotated}")) == kept


def test_intervals_are_a_minute_and_rules_are_listed_one_by_one(rendered: dict[str, dict[str, str]]) -> None:
    config = yaml.safe_load(rendered["production"][MAIN])
    assert (config["global"]["scrape_interval"], config["global"]["evaluation_interval"]) == ("60s", "60s")
    present = sorted(name.removeprefix("prometheus/") for name in rendered["production"] if "/rules/" in name)
    assert sorted(config["rule_files"]) == present


def test_alerts_go_to_the_alertmanager_of_the_environment(
    rendered: dict[str, dict[str, str]], rendered_embedded: dict[str, dict[str, str]]
) -> None:
    (inside,) = yaml.safe_load(rendered["staging"][MAIN])["alerting"]["alertmanagers"]
    assert inside["scheme"] == "https"
    assert inside["static_configs"] == [{"targets": ["alertmanager.mlab-staging.measurement-lab.test:443"]}]
    assert inside["basic_auth"] == {"username": "mlab", "password_file": "/etc/alertmanager/password"}
    (here,) = yaml.safe_load(rendered_embedded["staging"][MAIN])["alerting"]["alertmanagers"]
    assert here == {"scheme": "http", "api_version": "v2", "static_configs": [{"targets": ["127.0.0.1:9093"]}]}


def test_an_environment_may_choose_its_own_interval(fleet: Fleet, engine: Engine) -> None:
    # A platform on one machine stands for hundreds of nodes: a minute's scrapes of all of them are more than it has.
    patch = {"environments": {"sandbox": {"monitoring": {"scrape_interval": "4m"}}}}
    environment = loading.load(CHECKOUT, overlay=patch).fleet.environments["sandbox"]
    made = {r.id.name: r.spec["content"] for r in monitoring.resources(fleet, environment, engine)}
    assert yaml.safe_load(made[MAIN])["global"]["scrape_interval"] == "4m"


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_promtool_accepts_production_by_its_syntax(
    environment: str, rendered: dict[str, dict[str, str]], tmp_path: Path
) -> None:
    # Its credentials lie where Prometheus runs, not here.
    write(tmp_path, rendered[environment])
    promtool(tmp_path, "--syntax-only")


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_promtool_accepts_the_embedded_files_with_rules_and_targets(
    environment: str, rendered_embedded: dict[str, dict[str, str]], tmp_path: Path
) -> None:
    write(tmp_path, rendered_embedded[environment])
    promtool(tmp_path)


def test_the_same_input_gives_the_same_bytes(fleet: Fleet, engine: Engine, rendered: dict[str, dict[str, str]]) -> None:
    again = monitoring.resources(fleet, fleet.environments["sandbox"], Engine(CHECKOUT / "jsonnet", None))
    assert {r.id.name: r.spec["content"] for r in again} == rendered["sandbox"]


def test_every_resource_names_where_it_comes_from(fleet: Fleet, engine: Engine) -> None:
    for resource in monitoring.resources(fleet, fleet.environments["sandbox"], engine):
        assert resource.span.file.startswith("config/"), resource.id
        assert resource.id.kind == "File"
        assert resource.adopt == (resource.id.name in (MAIN, "alertmanager/alertmanager.yml"))


@pytest.mark.parametrize("without", [{"alerts": {}}, {"routing": None}], ids=["alerts", "routing"])
def test_a_fleet_without_alerts_or_routes_is_refused(without: dict[str, Any], fleet: Fleet, engine: Engine) -> None:
    bare = dataclasses.replace(fleet, **without)
    environment: Environment = fleet.environments["sandbox"]
    with pytest.raises(ConfigError, match="config/alerts"):
        monitoring.resources(bare, environment, engine)
