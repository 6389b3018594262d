"""The cache can never change a result: whatever goes into one is altered, and a cached run says what a fresh one does.

Each alteration starts from a cache that the unaltered program filled from the unaltered configuration. The program is a
copy, so that its own sources, schemas, templates and engine can be altered too; it runs as a process of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests import fleets
from tests.e2e.checkout import Checkout, repository
from tests.fleets import edit

SITE = "config/sites/lga05.yaml"
NDT = "config/experiments/ndt.yaml"
DRIVER = """\
import contextlib, io, json, sys
from reconcilers.cli.main import main

answers = []
for words in json.load(sys.stdin):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(words)
    answers.append([status, out.getvalue(), err.getvalue()])
print(json.dumps(answers))
"""
CACHED: list[str] = []
FRESH = ["--no-cache"]
Answers = list[Any]


@dataclass(slots=True)
class World:
    """A program, a configuration in git, a cache, and the variables of the process."""

    top: Path
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def program(self) -> Path:
        return self.top / "program"

    @property
    def root(self) -> Path:
        return self.top / "fleet"

    @property
    def checkout(self) -> Checkout:
        return Checkout(self.root, self.top / "state")

    def entries(self) -> dict[str, bytes]:
        """What the cache holds, by path."""
        found = (self.top / "cache" / "mlab").rglob("*.json")
        return {str(path.relative_to(self.top)): path.read_bytes() for path in found}

    def ask(self, *ways: list[str]) -> list[Answers]:
        """What the verbs that use the cache say, for each set of flags; one process for all of them."""
        where = ["--root", str(self.root), "--state", str(self.top / "state")]
        verbs = (["render", "--json"], ["validate", "--json"], ["diff", "HEAD~1..HEAD", "--json"])
        variables = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.top),
            "XDG_CACHE_HOME": str(self.top / "cache"),
            "PYTHONDONTWRITEBYTECODE": "1",
            **self.variables,
        }
        done = subprocess.run(
            [sys.executable, str(self.program / "driver.py")],
            input=json.dumps([[*words, *where, *flags] for flags in ways for words in verbs]),
            capture_output=True,
            text=True,
            env=variables,
            cwd=self.top,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answers = json.loads(done.stdout)
        return [answers[at : at + len(verbs)] for at in range(0, len(answers), len(verbs))]


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Answers]:
    """The unaltered world with a full cache, and what it says."""
    world = World(tmp_path_factory.mktemp("warm"))
    for name in ("reconcilers", "schemas", "jsonnet"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(fleets.CHECKOUT / name, world.program / name, ignore=ignore)
    (world.program / "driver.py").write_text(DRIVER)
    fleets.write_fleet(world.root)
    shutil.copytree(fleets.CHECKOUT / "jsonnet", world.root / "jsonnet")
    repository(world.root)
    edit(world.root, NDT, "version: v0.24.1", "version: v0.24.2")
    world.checkout.commit("Release ndt")
    (answers,) = world.ask(CACHED)
    assert [status for status, _, _ in answers] == [0, 0, 2], answers
    return world, answers


@pytest.fixture
def world(warm: tuple[World, Answers], tmp_path: Path) -> World:
    shutil.copytree(warm[0].top, tmp_path / "world", symlinks=True)
    return World(tmp_path / "world")


def committed(change: Callable[[World], object]) -> Callable[[World], object]:
    def do(world: World) -> None:
        change(world)
        world.checkout.commit("Change")

    return do


def source(file: str, old: str, new: str) -> Callable[[World], object]:
    return lambda world: edit(world.program, file, old, new)


def own(file: str, old: str, new: str) -> Callable[[World], object]:
    return committed(lambda world: edit(world.root, file, old, new))


def keep_the_stat(world: World) -> None:
    """Another text of one length, with the times of the old one: only a reader of contents sees it."""
    path = world.root / "jsonnet/kubernetes/pod.libsonnet"
    before = path.stat()
    edit(world.root, "jsonnet/kubernetes/pod.libsonnet", "'mlab-experiment'", "'mlab-experimenu'")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def shadow(world: World) -> None:
    """A file that is nearer to the importing one than the one it had."""
    importing = "jsonnet/kubernetes/init.libsonnet"
    edit(world.root, importing, "import '../lib/container.libsonnet'", "import 'lib/container.libsonnet'")
    world.ask(CACHED)
    nearer = world.root / "jsonnet/kubernetes/lib/container.libsonnet"
    nearer.parent.mkdir()
    text = (world.root / LIBRARY).read_text()
    nearer.write_text(text.replace("import '", "import '../../lib/").replace("'ALL'", "'NEARER'"))


def shipped_templates(world: World) -> None:
    """A configuration without templates of its own is rendered with the program's."""
    shutil.rmtree(world.root / "jsonnet")
    world.checkout.commit("Use the templates that come with the program")
    world.ask(CACHED)
    edit(world.program, "jsonnet/kubernetes/pod.libsonnet", "'mlab-experiment'", "'mlab-other'")


def overlay(world: World) -> None:
    """The platform of this machine patches the environments."""
    folder = world.top / "state" / "platform"
    folder.mkdir(parents=True)
    patch = {"environments": {"sandbox": {"domain": "elsewhere.test"}}}
    (folder / "platform.json").write_text(json.dumps(patch))


def engine(version: str, old: str, new: str) -> Callable[[World], object]:
    """Another engine, which makes something else of the same templates."""

    def do(world: World) -> None:
        (world.program / "rjsonnet.py").write_text(
            "import importlib.util, pathlib, sys\n"
            "real = next(pathlib.Path(p) for p in sys.path[1:] if list(pathlib.Path(p).glob('rjsonnet/*')))\n"
            "spec = importlib.util.spec_from_file_location('rjsonnet', real / 'rjsonnet' / '__init__.py',\n"
            "    submodule_search_locations=[str(real / 'rjsonnet')])\n"
            "this = sys.modules.pop('rjsonnet')\n"
            "module = importlib.util.module_from_spec(spec)\n"
            "sys.modules['rjsonnet'] = module\n"
            "spec.loader.exec_module(module)\n"
            f"module.__version__ = {version!r}\n"
            "first = module.evaluate_snippet\n"
            "def evaluate_snippet(*words, **more):\n"
            f"    return first(*words, **more).replace({old!r}, {new!r})\n"
            "module.evaluate_snippet = evaluate_snippet\n"
        )
        metadata = world.program / f"rjsonnet-{version}.dist-info" / "METADATA"
        metadata.parent.mkdir()
        metadata.write_text(f"Metadata-Version: 2.1\nName: rjsonnet\nVersion: {version}\n")

    return do


def variables(**given: str) -> Callable[[World], object]:
    return lambda world: world.variables.update(given)


EXPERIMENT = "schemas/experiment.schema.json"
POD = "jsonnet/kubernetes/pod.libsonnet"
LIBRARY = "jsonnet/lib/container.libsonnet"
ALTERATIONS: dict[str, tuple[Callable[[World], object], bool]] = {
    "a value": (own(NDT, "port: 443", "port: 444"), True),
    "a value back": (own(NDT, "version: v0.24.2", "version: v0.24.1"), True),
    "an environment": (own("config/environments/sandbox.yaml", "domain: measurement-lab.test", "domain: x.test"), True),
    "an uncommitted value": (lambda world: edit(world.root, NDT, "port: 443", "port: 444"), True),
    "an import": (own(POD, "'mlab-experiment'", "'mlab-other'"), True),
    "an import of an import": (own(LIBRARY, "drop: ['ALL']", "drop: ['all']"), True),
    "an uncommitted import": (keep_the_stat, True),
    "a nearer import": (committed(shadow), True),
    "the program's templates": (shipped_templates, True),
    "the overlay": (overlay, True),
    "a default of a schema": (
        source("schemas/experiment.schema.json", '"default": "default"', '"default": "other"'),
        True,
    ),
    "a renderer": (source("reconcilers/render/kubernetes.py", "192.168.0.0/16", "192.168.0.0/17"), True),
    "a derivation": (source("reconcilers/fleet/addresses.py", "_STRIDE = 13", "_STRIDE = 12"), True),
    "the engine's door": (source("reconcilers/load/jsonnet.py", "made = rjsonnet.", "made = '' + rjsonnet."), False),
    "the engine": (engine("999.0", "mlab-experiment", "mlab-other"), True),
    "a rule": (source("reconcilers/fleet/rules/places.py", "MAX_KM = 150", "MAX_KM = 0"), True),
    "what is asked of git": (source("reconcilers/load/history.py", '"--first-parent"', '"--max-count=1"'), False),
    "variables": (variables(TZ="Asia/Tokyo", LANG="C", LC_ALL="C", PYTHONHASHSEED="7", LOGNAME="other"), False),
    "nothing": (lambda world: None, False),
}


@pytest.mark.parametrize("what", ALTERATIONS)
def test_a_cached_run_says_what_a_fresh_one_does(what: str, world: World, warm: tuple[World, Answers]) -> None:
    alter, tells = ALTERATIONS[what]
    alter(world)
    before = world.entries()
    cached, fresh = world.ask(CACHED, FRESH)
    assert cached == fresh
    unaltered = json.loads(json.dumps(warm[1]).replace(str(warm[0].top), str(world.top)))
    assert (cached != unaltered) == tells, "the alteration is one that shows" if tells else "it must not show"
    if what in ("nothing", "variables"):
        assert world.entries() == before, "the cache was not used at all"


def test_a_fresh_run_leaves_the_cache_as_it_was(world: World) -> None:
    before = world.entries()
    edit(world.root, NDT, "port: 443", "port: 444")
    world.checkout.commit("Change")
    world.ask(FRESH)
    assert world.entries() == before


def test_a_cache_of_rubbish_is_as_good_as_none(world: World, warm: tuple[World, Answers]) -> None:
    for path in (world.top / "cache").rglob("*.json"):
        path.write_bytes(b"0" * 64 + b"\n{}")
    unaltered = json.loads(json.dumps(warm[1]).replace(str(warm[0].top), str(world.top)))
    assert world.ask(CACHED) == [unaltered]
