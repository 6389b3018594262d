"""Where Debian packages come from: this machine's own archive, whatever it is called, with the suite that is wanted.

No host name is written down anywhere. The machine's apt sources say where its Debian archive is (deb822 `.sources`
files and one-line `.list` files, see sources.list(5)); the suite is put in their place at run time, so that a machine
with one release builds images of another. Signatures are checked by apt with Debian's keyring, as always.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from node.images.errors import ImageError

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SUITES = frozenset(("bullseye", "bookworm", "trixie", "forky", "sid", "oldstable", "stable", "testing", "unstable"))
"""Names of Debian's suites: an entry for one of them is the archive, others (a vendor's) are not ours to rewrite."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One source: a URI and one of its suites."""

    uri: str
    suite: str


def lines(suite: str, etc: Path = Path("/etc/apt")) -> tuple[str, ...]:
    """The one-line sources for a suite and, where this machine has them, its security updates.

    Raises `ImageError` if the machine has no Debian source.
    """
    found = entries(etc)
    archive = next((entry.uri for entry in found if entry.suite in SUITES), None)
    security = next((entry.uri for entry in found if entry.suite.partition("-")[2] == "security"), None)
    if archive is None:
        raise ImageError(
            f"{etc}: no source of a Debian suite ({', '.join(sorted(SUITES))}); images are made of Debian packages: "
            "add a source for Debian"
        )
    options = f"[signed-by={KEYRING} arch=amd64]"
    made = [f"deb {options} {archive} {suite} main"]
    # Testing has no security archive worth naming: what is fixed there arrives by the suite itself.
    if security is not None and suite not in ("forky", "sid", "testing", "unstable"):
        made.append(f"deb {options} {security} {suite}-security main")
    return tuple(made)


def entries(etc: Path) -> tuple[Entry, ...]:
    """Every source of binary packages of this machine, in the order in which apt reads them."""
    found: list[Entry] = []
    for path in (etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))):
        if path.suffix == ".list" and path.is_file():
            found.extend(_one_line(path.read_text()))
        elif path.suffix == ".sources" and path.is_file():
            found.extend(_deb822(path.read_text()))
    return tuple(found)


def _one_line(text: str) -> Iterator[Entry]:
    for line in text.splitlines():
        words = re.sub(r"\[[^]]*\]", "", line.partition("#")[0]).split()
        if len(words) >= 3 and words[0] == "deb":
            yield Entry(words[1], words[2])


def _deb822(text: str) -> Iterator[Entry]:
    for paragraph in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        key = ""
        for line in paragraph.splitlines():
            if line.startswith("#"):
                continue
            if line[:1].isspace():
                fields[key] = f"{fields.get(key, '')} {line.strip()}"
            else:
                key, _, value = line.partition(":")
                key = key.strip().lower()
                fields[key] = value.strip()
        if "deb" in fields.get("types", "").split() and fields.get("enabled", "yes").lower() != "no":
            yield from (Entry(uri, suite) for uri in fields["uris"].split() for suite in fields["suites"].split())
