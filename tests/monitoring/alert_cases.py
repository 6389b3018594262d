"""Unit tests of alert rules in promtool's format, out of the `tests` that stand beside each rule.

Besides the written cases: what a rule excludes (maintenance, lame-duck) keeps every firing case quiet, and where a
rule names its metric, the twin fires when that is absent. Annotations are compared whole, which shows a label that
an expression lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_LABEL = re.compile(r"\{\{ *\$labels\.(\w+) *\}\}")
_EXCLUDED = {"machine": 'gmx_machine_maintenance{{machine="{0}"}}', "site": 'gmx_site_maintenance{{site="{0}"}}'}
FOREVER = "1x20000"
LONG_M = 2000
"""Cases that look further ahead are evaluated every ten minutes: days of one-minute steps take minutes to run."""


def files(group: Mapping[str, Any], rules: Mapping[str, Any]) -> dict[str, Any]:
    """Rule and test files by name, for one rendered group (`rules` is the rendered file).

    Each alert is alone with the recording rules, as every evaluation would cost all the others as well.
    """
    rendered = rules["groups"][0]["rules"]
    records = [rule for rule in rendered if "record" in rule]
    by_name = {rule["alert"]: rule for rule in rendered if "alert" in rule}
    made: dict[str, Any] = {}
    for alert in group["alerts"]:
        name = alert["alert"]
        rule = by_name[name]
        tested = [rule]
        cases = [_case(rule, test, test["series"], test["fires"]) for test in alert["tests"]]
        cases += _quiet(rule, alert)
        if "missing" in alert:
            twin = by_name[f"{name}_MetricsMissing"]
            tested.append(twin)
            cases.append(_case(twin, {"name": "absent", "at": _later(alert["missing"]["for"])}, {"other": "1"}, True))
        used = [record for record in records if record["record"] in rule["expr"]]
        made[f"{name}.rules.yml"] = {"groups": [{"name": group["name"], "rules": used + tested}]}
        for step, chosen in (("1m", lambda m: m <= LONG_M), ("10m", lambda m: m > LONG_M)):
            some = [case for case in cases if chosen(_minutes(case))]
            if some:
                document = {"rule_files": [f"{name}.rules.yml"], "evaluation_interval": step, "tests": some}
                made[f"{name}.{step}.test.yml"] = document
    return made


def _minutes(case: Mapping[str, Any]) -> int:
    at = case["alert_rule_test"][0]["eval_time"]
    return int(at[:-1]) if at.endswith("m") else int(at[:-1]) * 60


def _quiet(rule: Mapping[str, Any], alert: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every firing case again, with the machine or site excluded."""
    for test in alert["tests"]:
        labels = test.get("labels", {})
        series = []
        kind = alert.get("maintenance", "none")
        if kind != "none":
            series.append(_EXCLUDED[kind].format(labels.get(kind)))
        if alert.get("lame_duck"):
            series.append(f'kube_node_spec_taint{{key="lame-duck", machine="{labels.get("machine")}"}}')
        for exclusion in series if test["fires"] else ():
            named = {**test, "name": f"{test['name']}, but not with {exclusion}"}
            yield _case(rule, named, {**test["series"], exclusion: FOREVER}, False)


def _case(rule: Mapping[str, Any], test: Mapping[str, Any], series: Mapping[str, str], fires: bool) -> dict[str, Any]:
    expected = []
    if fires:
        labels = {**test.get("labels", {}), **rule["labels"]}
        annotations = {key: _filled(text, labels) for key, text in rule["annotations"].items()}
        expected.append({"exp_labels": labels, "exp_annotations": annotations})
    return {
        "name": f"{rule['alert']}: {test['name']}",
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [{"eval_time": test["at"], "alertname": rule["alert"], "exp_alerts": expected}],
    }


def _filled(text: str, labels: Mapping[str, str]) -> str:
    return _LABEL.sub(lambda found: labels.get(found[1], ""), text)


def _later(duration: str) -> str:
    return f"{int(duration[:-1]) + 1}{duration[-1]}"
