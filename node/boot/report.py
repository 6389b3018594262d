"""What the machine tells the server at the end of a try: success, or the error.

A POST of a form to `epoxy.report`. `message` (`success` or `error: …`) and `debug.config` (the evaluated document) are
the original's; `stage.times` (seconds of each part, as JSON), `log.tail` (the end of the log) and `boot_id` (the
kernel's, by which a node of the cluster can be matched) are ours. No field carries a secret, and the whole stays below
64 KiB: `debug.config` is left out before the log is.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlencode

from node.boot import transfer

MAX_BYTES = 64 * 1024
SUCCESS = "success"
_FORM = "application/x-www-form-urlencoded"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def body(message: str, config: str, times: str, log: str) -> bytes:
    """The form. Fields that would make it too long are left out, the most important last."""
    fields = {
        "message": message[:2000],
        "boot_id": boot_id(),
        "stage.times": times,
        "log.tail": log,
        "debug.config": config,
    }
    fields = {name: value for name, value in fields.items() if value}
    while len(made := urlencode(fields).encode()) > MAX_BYTES:
        fields.popitem()
    return made


def boot_id() -> str:
    with suppress(OSError):
        return _BOOT_ID.read_text().strip()
    return ""


def send(kargs: Mapping[str, str], key: str, form: bytes, net: transfer.Network) -> str:
    """POST it; gives one line that says how it went. Raises nothing but what `transfer.post` does."""
    url = kargs.get(key)
    if not url:
        return f"no report: {key} is not on the command line"
    answer = transfer.post(url, form, net, content_type=_FORM)
    return f"report sent: status {answer.status}"
