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

_ROOT = Path(__file__).with_name("small_fleet")
FILES: Mapping[str, str] = {str(path.relative_to(_ROOT)): path.read_text() for path in sorted(_ROOT.rglob("*.yaml"))}
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
