"""A copy of the sources with a small fleet as its configuration, for commands that take everything from where they lie.

`make demo` clones the checkout that it belongs to, and the programs' module files lie beside the code: here both are a
test's own. The copy runs with the installed environment of the checkout and never sets up one.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from tests import fleets

PARTS = ("node", "reconcilers", "services", "jsonnet", "schemas", "Makefile", "pyproject.toml", "requirements.lock")
OTHER_ENVIRONMENTS = ("config/environments/staging.yaml", "config/environments/production.yaml")
# Programs of one file under the module's own name, for which nothing is downloaded. The standard library below the long
# one takes the compiler many seconds where nothing is cached.
GO_MOD = "module go.etcd.io/etcd/server/v3\n\ngo 1.26\n"
SHORT = "package main\n\nfunc main() {}\n"
LONG = 'package main\n\nimport "net/http"\n\nfunc main() { _ = http.ListenAndServe("127.0.0.1:0", nil) }\n'


def make(folder: Path) -> Path:
    """The copy, with one environment."""
    for part in PARTS:
        source = fleets.CHECKOUT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, folder / part)
    fleets.write_fleet(folder, without=OTHER_ENVIRONMENTS)
    (folder / ".venv").symlink_to(Path(sys.executable).parents[1])
    setup = folder / ".ci" / "setup"
    setup.parent.mkdir()
    setup.write_text("#!/bin/sh\nexit 0\n")
    setup.chmod(0o755)
    return folder


def with_own_module(tree: Path, program: str) -> Path:
    """The copy with another first program to build: nothing that anybody has built is it."""
    module = tree / "services" / "local" / "modules" / "etcd"
    (module / "go.mod").write_text(GO_MOD)
    (module / "go.sum").write_text("")
    (module / "main.go").write_text(program)
    return tree
