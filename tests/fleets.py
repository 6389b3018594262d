"""A small valid configuration as files: three sites that between them have every kind of thing.

`lga05` is a full physical site (/26, four machines, switch, both address families), `lga1t` a test site (/28, one
machine, no switch, no IPv6), `dfw09` a virtual one. `ndt` has an alias and a place in the cloud, `wehe` has sidecars
and archived and autoloaded data, `host` runs on the host network without an index. Every environment has machines.

    root = write_fleet(tmp_path)
    edit(root, "config/sites/lga05.yaml", "198.18.0.0/26", "198.18.0.64/26")
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
PROJECTS = {"sandbox": "mlab-sandbox", "staging": "mlab-staging", "production": "mlab-oti"}

_ENVIRONMENT = """\
# yaml-language-server: $schema=../../schemas/environment.schema.json
kind: Environment
name: {name}
project: {project}
domain: measurement-lab.test
images_version: v2.1.10
modes: {{kubernetes: apply, buckets: apply, epoxy: apply, monitoring: apply}}
drift: {{kubernetes: heal, buckets: report, epoxy: report, monitoring: heal}}
limits:
  default:
    delete: {{max_count: 25, max_fraction: 0.1}}
    update: {{max_count: 500, max_fraction: 0.3}}
    min_population: 10
  kinds:
    Bucket: {{delete: {{max_count: 0}}}}
lock_ttl_s: 60
health_timeout_s: 120
targets:
  epoxy:
    url: https://epoxy-boot-api.{project}.measurement-lab.test/admin
    token: {{secretRef: "file:/run/secrets/epoxy-admin-token"}}
    ca_file: null
  buckets: {{endpoint: null, anonymous: false, records: mlab-reconciler-{project}}}
  kubernetes:
    kubeconfig: {{secretRef: "file:/run/secrets/kubeconfig"}}
    context: null
  monitoring:
    prometheus_url: https://prometheus.{project}.measurement-lab.test
    alertmanager_url: https://alertmanager.{project}.measurement-lab.test
    directory: /var/lib/mlab/monitoring
    promtool: promtool
    amtool: amtool
monitoring: {{scrape_proxy_url: null, receiver_url: null, kubeconfig_file: null}}
"""

_FULL_SITE = """\
# yaml-language-server: $schema=../../schemas/site.schema.json
kind: Site
name: lga05
type: physical
provider: mlab
donated: false
probability: 1.0
lifecycle: {state: active, created: 2019-01-01, retired: null}
location: {metro: lga, city: New York, state: NY, country: US, continent: NA, latitude: 40.775, longitude: -73.875}
transit: {provider: Example Transit, asn: 64500, uplink: 10g}
network:
  ipv4: {prefix: 198.18.0.0/26}
  ipv6: {prefix: "2001:db8:0:14::/64"}
switch: {make: juniper, model: qfx5100-48s}
machines:
  mlab1: {model: r630}
  mlab2: {model: r630}
  mlab3: {model: r640}
  mlab4: {model: r640}
"""

_TEST_SITE = """\
# yaml-language-server: $schema=../../schemas/site.schema.json
kind: Site
name: lga1t
type: physical
provider: mlab
donated: true
probability: 0.5
lifecycle: {state: active, created: 2024-02-29, retired: null}
location: {metro: lga, city: New York, state: NY, country: US, continent: NA, latitude: 40.775, longitude: -73.875}
transit: {provider: Example Transit, asn: 64500, uplink: 1g}
network:
  ipv4: {prefix: 198.18.1.176/28}
  ipv6: null
switch: null
machines:
  mlab1: {model: r630}
"""

_VIRTUAL_SITE = """\
# yaml-language-server: $schema=../../schemas/site.schema.json
kind: Site
name: dfw09
type: virtual
provider: gcp
donated: false
probability: 0.25
lifecycle: {state: active, created: 2022-01-14, retired: null}
location: {metro: dfw, city: Dallas, state: TX, country: US, continent: NA, latitude: 32.8969, longitude: -97.0381}
transit: {provider: Example Cloud, asn: 64501, uplink: 1g, tier: PREMIUM}
machines:
  mlab1: {model: n2-highcpu-4, ipv4: 198.19.0.79, ipv6: "2001:db8:ffff:31cd:8000::"}
"""

_NDT = """\
# yaml-language-server: $schema=../../schemas/experiment.schema.json
kind: Experiment
name: ndt
description: Speed and latency of one connection.
position: 2
index: 2
aliases: [ndt.iupui]
cloud: true
projects: [mlab-sandbox, mlab-staging, mlab-oti]
placements:
  - {name: ndt, type: physical, selector: {mlab/ndt-version: production}}
  - {name: ndt-virtual, type: virtual, selector: {mlab/run: ndt}, hostNetwork: true}
container:
  image: {name: measurementlab/ndt-server, version: v0.24.1}
  args: ["-datadir={data}", "-prometheusx.listen-address={metrics}"]
  ports:
    - {name: https, port: 443}
  metricsPort: 9990
anonymize: none
datatypes: {archived: [ndt5, ndt7], autoloaded: []}
services:
  ndt/ndt7: ["ws:///ndt/v7/download", "wss:///ndt/v7/download"]
firewall: {tcp: [80, 443, "9990-9999"]}
sidecars: {measurement: true, heartbeat: true, revtr: false, access: false}
rollout: {maxUnavailable: "2%", graceSeconds: 100}
"""

_WEHE = """\
# yaml-language-server: $schema=../../schemas/experiment.schema.json
kind: Experiment
name: wehe
description: Whether a network treats applications differently.
position: 6
index: 5
cloud: false
projects: [mlab-sandbox, mlab-staging, mlab-oti]
placements:
  - {name: wehe, type: physical}
container:
  image: {name: measurementlab/wehe-py3, version: v0.3.12}
  args: ["{data}"]
  ports:
    - {name: https, port: 443}
  metricsPort: 9990
  capabilities: [NET_BIND_SERVICE, NET_RAW]
anonymize: netblock
datatypes: {archived: [replay], autoloaded: [replayInfo1]}
services:
  wehe/replay: ["wss://:4443/v0/envelope/access"]
firewall: {tcp: [80, 443, 4443, "9989-9999"], udp: [443]}
sidecars: {measurement: true, heartbeat: true, revtr: false, access: true}
resources: {memory: {request: 1Gi, limit: 5Gi}}
rollout: {maxUnavailable: "2%", graceSeconds: 100}
"""

_HOST = """\
# yaml-language-server: $schema=../../schemas/experiment.schema.json
kind: Experiment
name: host
description: What a machine is made of.
position: 15
index: null
cloud: false
projects: [mlab-sandbox, mlab-staging, mlab-oti]
placements:
  - {name: host, type: physical, hostNetwork: true}
container:
  image: {name: measurementlab/nodeinfo, version: v1.3.4}
  args: ["-datadir={data}", "-wait=6h"]
  metricsPort: 9990
anonymize: none
datatypes: {archived: [], autoloaded: [nodeinfo1]}
firewall: null
sidecars: {measurement: true, heartbeat: false, revtr: false, access: false}
rollout: {maxUnavailable: "2%", graceSeconds: 180}
"""

_DATATYPE = """\
# yaml-language-server: $schema=../../schemas/datatype.schema.json
kind: Datatype
name: {name}
description: Records of {name}, one per connection.
producer: {producer}
origin: experiment
format: json
files: ["*.json.gz"]
parser: null
table: {table}
"""
_COLUMNS = """\
schema:
  - {name: UUID, type: STRING, mode: REQUIRED, description: Identity of the connection.}
  - {name: At, type: TIMESTAMP, description: When it began.}
"""
_DATATYPES = {
    "ndt5": "ndt-server",
    "ndt7": "ndt-server",
    "replay": "wehe",
    "replayInfo1": "wehe",
    "nodeinfo1": "nodeinfo",
}
_AUTOLOADED = ("replayInfo1", "nodeinfo1")

_EMBARGO = """\
# yaml-language-server: $schema=../../schemas/embargo-rule.schema.json
kind: EmbargoRule
name: replay-year
datatypes: [replay]
match: {file_contains: replay}
period: 365d
exempt: {hosts: none}
buckets: {source: "scraper-{project}", private: "embargo-{project}", public: "archive-{project}", private_suffix: "-e"}
state: active
owner: data-team
expires: 2027-01-31
"""

_ALERTS = """\
# yaml-language-server: $schema=../../schemas/alert-group.schema.json
kind: AlertGroup
name: workloads
cluster: platform
records:
  - record: deployment:up:count
    expr: count by (deployment) (up)
alerts:
  - alert: PlatformCluster_NdtMissing
    expr: absent(up{deployment="ndt"})
    for: 15m
    severity: page
    page_project: mlab-oti
    repo: ops-tracker
    summary: The NDT workload has no metrics.
    runbook: Check the ndt DaemonSet and its nodes.
    tests:
      - {series: {"up{deployment=\\"host\\"}": "1x20"}, at: 16m, fires: true}
      - {series: {"up{deployment=\\"ndt\\"}": "1x20"}, at: 16m, fires: false}
  - alert: PlatformCluster_FewNdt
    expr: deployment:up:count{deployment="ndt"} < 1
    for: 30m
    severity: ticket
    repo: ops-tracker
    summary: Few NDT pods are up.
    runbook: Check the ndt DaemonSet and its nodes.
"""

_ROUTING = """\
# yaml-language-server: $schema=../../schemas/alert-routing.schema.json
kind: AlertRouting
name: routing
receivers:
  issues:
    type: webhook
    url: http://github-receiver-service.default.svc.cluster.local:9393/v1/receiver
  pager: {type: pagerduty, key_file: /etc/alertmanager/pagerduty-key}
  none: {type: none}
routes:
  - {matchers: ['severity="page"', 'page_project="{project}"'], receivers: [pager, issues]}
  - {matchers: ['severity="fyi"'], receivers: [none]}
default: [issues]
inhibitions:
  - name: a page says more than its ticket
    source: ['severity="page"', 'service=~".+"']
    target: ['severity="ticket"', 'service=~".+"']
    equal: [service]
tests:
  - {labels: {severity: ticket}, project: mlab-oti, receivers: [issues]}
"""

_BOOT_IMAGE = """\
# yaml-language-server: $schema=../../schemas/image.schema.json
kind: Image
name: boot
type: boot
purpose: What a machine boots.
releases:
  v2.1.10:
    built: 2026-06-30
    files: {stage1to2.ipxe: "sha256:0000000000000000000000000000000000000000000000000000000000000000"}
"""

_BUCKET = """\
# yaml-language-server: $schema=../../schemas/bucket.schema.json
kind: Bucket
name: "{stem}-{{project}}"
purpose: {purpose}
location: US
publicAccessPrevention: {prevention}
"""
_LANDING = """\
lifecycle:
  - {action: {type: Delete}, condition: {age: 90}}
labels: {system: pipeline}
iam:
  - {role: roles/storage.objectCreator, members: ["serviceAccount:pusher@{project}.iam.gserviceaccount.com"]}
"""
_PUBLIC = """\
versioning: true
iam:
  - {role: roles/storage.objectViewer, members: [allUsers]}
cors:
  - {origin: ["*"], method: [GET, HEAD]}
"""
_PRIVATE = "iam: []\n"


def _files() -> dict[str, str]:
    files = {
        "sites/lga05": _FULL_SITE,
        "sites/lga1t": _TEST_SITE,
        "sites/dfw09": _VIRTUAL_SITE,
        "experiments/ndt": _NDT,
        "experiments/wehe": _WEHE,
        "experiments/host": _HOST,
        "embargo/replay-year": _EMBARGO,
        "alerts/workloads": _ALERTS,
        "alerts/routing": _ROUTING,
        "images/boot": _BOOT_IMAGE,
    }
    for name, project in PROJECTS.items():
        files[f"environments/{name}"] = _ENVIRONMENT.format(name=name, project=project)
    for name, producer in _DATATYPES.items():
        text = _DATATYPE.format(name=name, producer=producer, table=name)
        files[f"datatypes/{name}"] = text + (_COLUMNS if name in _AUTOLOADED else "")
    for stem, purpose, prevention, rest in (
        ("pusher", "Where nodes upload their data.", "enforced", _LANDING),
        ("siteinfo", "What the fleet publishes about itself.", "inherited", _PUBLIC),
        ("embargo", "Data that is not public yet.", "enforced", _PRIVATE),
        ("mlab-reconciler", "Records, audit and locks of the reconcilers.", "enforced", _PRIVATE),
    ):
        files[f"buckets/{stem}"] = _BUCKET.format(stem=stem, purpose=purpose, prevention=prevention) + rest
    return {f"config/{path}.yaml": text for path, text in files.items()}


FILES: Mapping[str, str] = _files()
"""Path to text of every file of the small fleet."""


def write_fleet(root: Path, *, without: Iterable[str] = (), extra: Mapping[str, str] | None = None) -> Path:
    """Write the small fleet below `root` and return `root`; the versions of sidecars are those of the checkout."""
    skipped = set(without)
    for path, text in {**FILES, **(extra or {})}.items():
        if path not in skipped:
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
    for image in sorted((CHECKOUT / "config/images").glob("*.yaml")):
        if not (root / "config/images" / image.name).exists() and "type: boot" not in image.read_text():
            shutil.copyfile(image, root / "config/images" / image.name)
    (root / "config/acks").mkdir(exist_ok=True)
    return root


def edit(root: Path, path: str, old: str, new: str) -> None:
    """Replace a text that occurs in a file."""
    target = root / path
    text = target.read_text()
    assert old in text, f"{path} does not hold {old!r}"
    target.write_text(text.replace(old, new))
