"""What git wants per target: which targets, in which order, and no id twice."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from reconcilers.core.errors import ConfigError, UsageError
from reconcilers.core.model import Id, Resource, Span
from reconcilers.load.jsonnet import Engine
from reconcilers.render import all as rendering
from reconcilers.render import epoxy
from tests import fleet_values as values

HERE: dict[str, Any] = {"targets": {"epoxy": {}, "buckets": {}}}


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path, None)


def test_only_targets_that_the_environment_has_are_rendered(engine: Engine) -> None:
    environment = values.environment(data=HERE)
    assert list(rendering.desired(values.fleet(), environment, engine=engine)) == ["buckets", "epoxy"]
    assert list(rendering.desired(values.fleet(), environment, engine=engine, targets=["epoxy", "monitoring"])) == [
        "epoxy"
    ]


def test_an_unknown_target_is_named_with_the_known_ones(engine: Engine) -> None:
    with pytest.raises(
        UsageError, match="--target moon: no such target; known: kubernetes, buckets, epoxy, dns, monitoring"
    ):
        rendering.desired(values.fleet(), values.environment(data=HERE), engine=engine, targets=["moon"])


def test_rendering_twice_gives_equal_resources_in_equal_order(engine: Engine) -> None:
    first, second = (rendering.desired(values.fleet(), values.environment(data=HERE), engine=engine) for _ in range(2))
    assert first == second


def test_an_id_that_is_wanted_twice_is_refused_with_both_places(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    twice = tuple(
        Resource(Id("Host", "a.example"), {}, Span(f"config/sites/{name}.yaml", 3, 1)) for name in ("abc01", "abc02")
    )
    monkeypatch.setattr(sys.modules[epoxy.__name__], "resources", lambda *_: twice)
    with pytest.raises(ConfigError, match=r"Host/a\.example is wanted twice") as refused:
        rendering.desired(values.fleet(), values.environment(data=HERE), engine=engine, targets=["epoxy"])
    assert str(refused.value).startswith("config/sites/abc02.yaml:3:1: ")
    assert "config/sites/abc01.yaml:3:1" in str(refused.value)
