"""What needs no server: validate, render, publish, on the fleet and on ten times the fleet."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from tests.bench.measure import MLAB, SOURCE, ratio, report, row
from tests.importing import siteinfo

_AUTHOR = ("-c", "user.name=bench", "-c", "user.email=bench@measurement-lab.test")


def tenfold(base: Path) -> Path:
    """The fleet ten times over: each site copied nine times at its metro, under free numbers and out of other prefixes.

    Test sites have one digit to be told apart by, so that some copies of them are ordinary sites.
    """
    root = base / "tenfold"
    shutil.copytree(SOURCE / "config", root / "config")
    shutil.copytree(SOURCE / "jsonnet", root / "jsonnet")
    paths = sorted((SOURCE / "config" / "sites").glob("*.yaml"))
    taken = {path.stem for path in paths}
    for path in paths:
        text = path.read_text()
        for copy in range(1, 10):
            numbers = [f"{n}t" for n in range(10)] if path.stem.endswith("t") else []
            names = (f"{path.stem[:3]}{tail}" for tail in (*numbers, *(f"{n:02}" for n in range(100))))
            name = next(name for name in names if name not in taken)
            taken.add(name)
            made = text.replace(path.stem, name)
            for half in (8, 9):
                made = made.replace(f"198.1{half}.", f"{12 + 2 * copy + half}.18.")
            made = re.sub(r"2001:db8:", f"2001:{0xE00 + copy:x}:", made)
            (root / "config" / "sites" / f"{name}.yaml").write_text(made)
    return root


def published_again() -> float:
    """Processor seconds of every published file and zone of one environment in a process that has the fleet loaded."""
    words = [sys.executable, "-m", "tests.bench.published", str(SOURCE)]
    return float(subprocess.run(words, cwd=SOURCE, capture_output=True, text=True, check=True).stdout)


def one_site_changed(base: Path) -> Path:
    """A clone with one more commit, which gives a site another uplink."""
    root = base / "changed"
    subprocess.run(["git", "clone", "-q", str(SOURCE), str(root)], check=True)
    slower_uplink(root)
    return root


def slower_uplink(root: Path) -> None:
    """Commit a change of one more site, so that nobody has seen the commit before."""
    paths = sorted((root / "config" / "sites").glob("*.yaml"))
    path = next(path for path in paths if "uplink: 10g" in path.read_text())
    path.write_text(path.read_text().replace("uplink: 10g", "uplink: 1g"))
    subprocess.run(["git", "-C", str(root), *_AUTHOR, "commit", "-q", "-a", "-m", "One site"], check=True)


def two_unseen(root: Path) -> None:
    """Both ends of HEAD~1..HEAD are commits of which nothing is kept."""
    slower_uplink(root)
    slower_uplink(root)


def _refused(folder: Path) -> None:
    """A commit of a bad site, with the hook of `mlab hooks install`."""
    root = folder / "hooked"
    subprocess.run(["git", "clone", "-q", str(SOURCE), str(root)], check=True)
    subprocess.run([MLAB, "hooks", "install", "--root", str(root)], check=True, stdout=subprocess.DEVNULL)
    path = root / "config/sites/lga05.yaml"
    path.write_text(path.read_text().replace("type: physical", "type: phisical"))
    subprocess.run(["git", "-C", str(root), "add", "-A"], check=True)
    command = shlex.join(("git", "-C", str(root), *_AUTHOR, "commit", "-q", "-m", "bad"))
    report("a commit of a bad site is refused", ("sh", "-c", f"! {command}"), "< 1.0 s")


def _imported(base: Path) -> None:
    """An inventory of the public platform's size, in its own form, and the files that an import makes of it."""
    inventory, into = siteinfo.write(base / "inventory", siteinfo.many()), base / "imported"
    words = (MLAB, "import", "siteinfo", str(inventory), "--into", str(into))
    report("import 351 sites, dry run", (*words, "--dry-run"), "")
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    report("validate 351 imported sites", (MLAB, "validate", "--root", str(into)), "< 1.0 s")


def rows(folder: Path) -> None:
    """All of them."""
    root = ("--root", str(SOURCE))
    once = report("validate, cold process", (MLAB, "validate", *root), "< 1.0 s")
    report("validate one file", (MLAB, "validate", *root, "config/sites/lga0t.yaml"), "< 0.3 s")
    _refused(folder)
    _imported(folder)
    whole = report("validate, derive, render, no cache", (MLAB, "render", "--no-cache", *root), "< 2.5 s")
    report("validate, derive, render, cached", (MLAB, "render", *root), "< 1.0 s")
    report("format check", (MLAB, "fmt", "--check", *root), "", runs=3)
    report("explain a rule", (MLAB, "explain", "S02", *root), "", runs=3)
    clone = one_site_changed(folder)
    words = (MLAB, "diff", "HEAD~1..HEAD", "--root", str(clone))
    report("diff of a one-site change", words, "< 1.0 s")
    report("diff of two commits seen for the first time", words, "", warm=False, before=lambda: two_unseen(clone))
    large = ("--root", str(tenfold(folder)))
    ratio(
        "validate, ten times the fleet",
        report("validate, ten times", (MLAB, "validate", *large), "", own_fleet=False),
        once,
        "< 8 x",
    )
    files = (MLAB, "render", "--no-cache", "--env", "production", "--target", "buckets")
    cold = report("every published file and zone, cold", (*files, *root), "< 1.5 s")
    row("every published file and zone, warm", published_again(), 0, "< 0.4 s of processor")
    many = report("every published file and zone, ten times", (*files, *large), "", runs=3, warm=False, own_fleet=False)
    ratio("published, ten times the fleet", many, cold, "< 9 x")
    many = report(
        "render, ten times, no cache", (MLAB, "render", "--no-cache", *large), "", runs=3, warm=False, own_fleet=False
    )
    ratio("all of it, ten times the fleet", many, whole, "< 8 x")
