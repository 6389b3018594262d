"""What a machine is told: the iPXE script of stage1, and the JSON documents of all stages.

Values appear as they are, byte for byte, and what iPXE or a kernel command line cannot carry is refused instead of
escaped. The original sent them through an HTML template and then used the result as a format of printf, so that `&`
and `%` in a URL came out as something else. The JSON is spelled as Go's encoder does it, because that is what clients
in use were tested against.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.epoxy import sessions

COMMAND_LINE_BYTES = 2048
OTHER_PARAMETERS_BYTES = 640
"""What the action documents add to the server's parameters: network, names, console; measured, rounded up."""

_VALUE = re.compile(r"[!-~]{1,1200}")
_GO_ESCAPES = {ord("&"): "\\u0026", ord("<"): "\\u003c", ord(">"): "\\u003e", 0x2028: "\\u2028", 0x2029: "\\u2029"}


class Unspeakable(Exception):
    """A value that a script or a command line cannot carry; names it and its limit."""


@dataclass(frozen=True, slots=True)
class Urls:
    """The secret URLs of one boot. They exist in the answer to stage1 and nowhere else."""

    stage2: str
    stage3: str
    report: str
    extensions: Mapping[str, str]


def urls(public_host: str, host: str, ids: Mapping[str, str], operations: tuple[str, ...]) -> Urls:
    """Always the name and port of the listener for Linux: that is who asks for them."""
    base = f"https://{public_host}/v1/boot/{host}"
    return Urls(
        stage2=f"{base}/{ids['Stage2ID']}/stage2",
        stage3=f"{base}/{ids['Stage3ID']}/stage3",
        report=f"{base}/{ids['ReportID']}/report",
        extensions={name: f"{base}/{ids['ExtensionID']}/extension/{name}" for name in sorted(operations)},
    )


def ipxe(boot: sessions.Boot, secret: Urls) -> str:
    """The stage1 script. Raises `Unspeakable`."""
    values = {
        "stage1chain_url": boot.chain.get("stage1.ipxe", ""),
        "stage2_url": secret.stage2,
        "stage3_url": secret.stage3,
        "report_url": secret.report,
        "images_version": boot.version,
        **{f"{name}_url": url for name, url in secret.extensions.items()},
    }
    for name, value in values.items():
        _check(name, value)
    _fits(_parameters(boot, secret))
    lines = "".join(f"set {name} {value}\n" for name, value in values.items())
    return f"#!ipxe\n\n{lines}\nchain ${{stage1chain_url}}\n"


def stage1_json(boot: sessions.Boot, secret: Urls) -> str:
    """The stage1 document for Linux. Raises `Unspeakable`."""
    parameters = _parameters(boot, secret)
    for name, value in parameters.items():
        _check(name, value)
    _fits(parameters)
    return go_json({"kargs": dict(sorted(parameters.items())), "v1": _chain(boot, "stage1.json")})


def stage_json(boot: sessions.Boot, stage: sessions.Stage) -> str:
    """The document of stage2 or stage3."""
    return go_json({"v1": _chain(boot, stage)})


def refusal(host: str, reason: str) -> str:
    """A script that shows why nothing boots, waits and starts again; iPXE itself shows no text of an error page."""
    shown = re.sub(r"[^A-Za-z0-9 .:_-]", "?", f"{host}: {reason}")[:200]
    return f"#!ipxe\n\necho ePoxy refuses {shown}\nsleep 300\nreboot\n"


def go_json(document: Mapping[str, Any]) -> str:
    """JSON as Go's MarshalIndent spells it, four spaces deep and without a final newline."""
    return json.dumps(document, indent=4, ensure_ascii=False).translate(_GO_ESCAPES)


def _chain(boot: sessions.Boot, key: str) -> dict[str, str]:
    url = boot.chain.get(key, "")
    if not url:
        return {}
    found = boot.sha256.get(key)
    return {"chain": url} if found is None else {"chain": url, "chain_sha256": found}


def _parameters(boot: sessions.Boot, secret: Urls) -> dict[str, str]:
    return {
        "epoxy.stage2": secret.stage2,
        "epoxy.stage3": secret.stage3,
        "epoxy.report": secret.report,
        "epoxy.images_version": boot.version,
        **{f"epoxy.{name}": url for name, url in secret.extensions.items()},
    }


def _check(name: str, value: str) -> None:
    if not _VALUE.fullmatch(value) or "${" in value:
        raise Unspeakable(f"{name} must be 1 to 1200 visible ASCII characters without '${{'")


def _fits(parameters: Mapping[str, str]) -> None:
    length = sum(len(name) + len(value) + 2 for name, value in parameters.items()) + OTHER_PARAMETERS_BYTES
    if length > COMMAND_LINE_BYTES:
        raise Unspeakable(f"a kernel command line of about {length} bytes; at most {COMMAND_LINE_BYTES} are carried")
