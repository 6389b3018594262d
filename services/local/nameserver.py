"""The name server of one environment: BIND's `named`, on loopback, with the zones that its project serves.

It starts with empty zones and takes them from whoever holds the key of this run, as the public ones take theirs. It
answers for its zones alone: no recursion, no notification, no port for remote control, so that no question about the
fleet ever leaves this machine. Zones live as files with journals and survive the program, not the platform.
"""

from __future__ import annotations

import base64
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

from services.local import certificates
from services.local.controlplane import LOOPBACK, Place
from services.local.errors import PlatformError
from services.local.probe import Check
from services.local.processes import Launch
from services.local.starting import Part

PROGRAM = "named"
KEY_NAME = "mlab"
_OUTSIDE_PATH = ("/usr/sbin", "/usr/local/sbin")
"""Where servers are installed; not on everybody's PATH."""


def key_file(place: Place) -> Path:
    """Where the key of updates and transfers lies, mode 0600, in the form that BIND's tools read."""
    return place.folder / PROGRAM / "tsig.key"


def named(place: Place, zones: Sequence[str]) -> Part:
    """The server; it works when it answers with authority for every zone."""

    def launch(ports: tuple[int, ...]) -> Launch:
        folder = place.folder / PROGRAM
        log = place.log(PROGRAM)
        prepare(folder, zones, port=ports[0])
        command = (str(program(folder)), "-f", "-n", "1", "-L", str(log), "-c", str(folder / "named.conf"))
        return Launch(f"{place.name}/{PROGRAM}", command, log, directory=folder)

    def check(ports: tuple[int, ...]) -> Check:
        return Check(dns=f"{LOOPBACK}:{ports[0]}", zones=" ".join(zones))

    return Part(f"{place.name}/{PROGRAM}", launch, check)


def program(folder: Path) -> Path:
    """A copy of the installed program: Debian confines the original to the files of its own service (AppArmor)."""
    copy = folder / PROGRAM
    if not copy.exists():
        found = shutil.which(PROGRAM) or next(
            (f"{place}/{PROGRAM}" for place in _OUTSIDE_PATH if Path(place, PROGRAM).is_file()), None
        )
        if found is None:
            raise PlatformError("no named on this machine: run `make setup`, or install BIND (Debian: bind9)")
        unfinished = copy.with_name(f".{PROGRAM}")
        shutil.copy(found, unfinished)
        unfinished.replace(copy)
    return copy


def prepare(folder: Path, zones: Sequence[str], *, port: int) -> None:
    """Write configuration, key and empty zones; what is there already, but for the configuration, stays."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = folder / "tsig.key"
    if not key.exists():
        secret = base64.b64encode(secrets.token_bytes(32)).decode()
        clause = f'key "{KEY_NAME}" {{ algorithm hmac-sha256; secret "{secret}"; }};\n'
        certificates.write_private(key, clause.encode())
    for zone in zones:
        path = folder / f"{zone}.zone"
        if not path.exists():
            path.write_text(empty_zone(zone))
    (folder / "named.conf").write_text(_configuration(folder, zones, port))


def empty_zone(zone: str) -> str:
    """A zone with nothing in it but what every zone must have."""
    return (
        f"$ORIGIN {zone}.\n$TTL 300\n"
        "@ IN SOA localhost. hostmaster.localhost. 1 3600 600 86400 300\n"
        "@ IN NS localhost.\n"
    )


def _configuration(folder: Path, zones: Sequence[str], port: int) -> str:
    served = "\n".join(
        f'zone "{zone}" {{ type primary; file "{zone}.zone"; update-policy {{ grant {KEY_NAME} zonesub ANY; }}; }};'
        for zone in zones
    )
    return f"""\
include "{folder}/tsig.key";
options {{
  directory "{folder}";
  listen-on port {port} {{ {LOOPBACK}; }};
  listen-on-v6 {{ none; }};
  recursion no;
  notify no;
  allow-query {{ {LOOPBACK}; }};
  allow-transfer {{ key {KEY_NAME}; }};
  dnssec-validation no;
  empty-zones-enable no;
  pid-file none;
  session-keyfile none;
  version none;
}};
controls {{ }};
logging {{
  channel log {{ stderr; severity info; print-time iso8601; print-category yes; print-severity yes; }};
  category default {{ log; }};
  // A line for each record of each update, and for each signature that holds.
  category update {{ null; }};
  category security {{ null; }};
}};
{served}
"""
